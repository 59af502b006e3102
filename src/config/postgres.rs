//! How a PostgreSQL server is reached: a URL as libpq's, read here so that its password is a [`Secret`] from
//! the first moment, and no message ever holds what was given.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;

/// PostgreSQL's port.
const DEFAULT_PORT: u16 = 5432;
/// How long a connection may take to be made, unless told otherwise.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that may be told: one attempt must not keep a job from being stopped.
const LONGEST_CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// The file of certificates that means the system's own.
const SYSTEM: &str = "system";
/// What a URL looks like, for messages.
const FORM: &str = "postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full";
/// The URL's keys that are read.
const KEYS: [&str; 6] = [
    "application_name",
    "connect_timeout",
    "options",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
];
/// Keys of libpq's that would bring secrets, or that this client does not do; each with what to do instead.
const REFUSED_KEYS: [(&str, &str); 5] = [
    (
        "password",
        "write it before the @, or as the option 'password'",
    ),
    (
        "sslcert",
        "certificates of clients are not sent; log in with a password",
    ),
    (
        "sslkey",
        "certificates of clients are not sent; log in with a password",
    ),
    (
        "sslpassword",
        "certificates of clients are not sent; log in with a password",
    ),
    (
        "host",
        "write it behind the @; a socket's folder with %2F for each /",
    ),
];

/// How much of TLS is wanted, as libpq has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// `disable`: none.
    Disable,
    /// `prefer`, the default: if the server offers it, whoever it is.
    #[default]
    Prefer,
    /// `require`: encrypted, whoever the server is; with `sslrootcert` as `verify-ca`.
    Require,
    /// `verify-ca`: the certificate is signed by somebody trusted.
    VerifyCa,
    /// `verify-full`: and names the host.
    VerifyFull,
}

impl SslMode {
    const ALL: [(&str, SslMode); 5] = [
        ("disable", SslMode::Disable),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];
}

/// Whom a server's certificate has to be signed by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RootCertificates {
    /// Nothing said, or `system`: the system's authorities, and Mozilla's.
    #[default]
    System,
    /// Those of a PEM file only.
    File(PathBuf),
}

/// A server, or a folder with its socket, and the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresHost {
    /// A name, an address, or an absolute path.
    pub name: String,
    /// The port.
    pub port: u16,
}

impl PostgresHost {
    /// Whether it is the folder of a socket.
    pub fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// Whether nobody but this machine hears what is said.
    pub fn is_local(&self) -> bool {
        let address = self.name.parse::<std::net::IpAddr>();
        self.is_socket()
            || self.name.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for PostgresHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

/// Everything a URL says. `Debug` shows no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The servers that are tried in turn, at least one.
    pub hosts: Vec<PostgresHost>,
    /// Who logs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// The database; `None`: that of the user's name, as libpq has it.
    pub database: Option<String>,
    /// TLS.
    pub ssl_mode: SslMode,
    /// Whom TLS trusts.
    pub root_certificates: RootCertificates,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// What the server's list of connections calls this one; `None`: `stockpulse-` and the job.
    pub application_name: Option<String>,
    /// Whether a server that takes no writes is passed over.
    pub read_write: bool,
    /// Command-line options for the server's process, such as `-c search_path=…`.
    pub options: Option<String>,
}

impl PostgresUrl {
    /// Reads `postgres://user:password@host:port/database?key=value&…`.
    ///
    /// # Errors
    /// What is wrong and what would be right, without any part of the text that could be a secret.
    pub fn parse(text: &str) -> Result<PostgresUrl, String> {
        let rest = (text.trim().strip_prefix("postgres://"))
            .or_else(|| text.trim().strip_prefix("postgresql://"))
            .ok_or_else(|| format!("it does not begin with postgres://; it is {FORM}"))?;
        if rest.contains('#') {
            return Err("a # in a name or a password is written %23".to_owned());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // The last @: one in a password is written %40, but here it does no harm.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            None => (None, None),
            Some(Err(user)) => (Some(user), None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
        };
        let mut url = PostgresUrl {
            hosts: hosts.split(',').map(host).collect::<Result<_, _>>()?,
            user: filled(user, "the user's name")?,
            password: filled(password, "the password")?.map(Secret::new),
            database: filled(Some(database), "the database's name")?,
            ssl_mode: SslMode::default(),
            root_certificates: RootCertificates::default(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            application_name: None,
            read_write: false,
            options: None,
        };
        if database.contains('/') {
            return Err(
                "the database's name has a /; one that belongs to it is written %2F".into(),
            );
        }
        let mut has_roots = false;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value, key)?;
            has_roots |= key == "sslrootcert";
            url.set(key, value)?;
        }
        url.check_roots(has_roots)?;
        Ok(url)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "sslmode" => {
                let chosen = SslMode::ALL.iter().find(|(name, _)| *name == value);
                let names: Vec<&str> = SslMode::ALL.iter().map(|(name, _)| *name).collect();
                let wrong = || format!("sslmode is one of {}", names.join(", "));
                self.ssl_mode = chosen.map(|(_, mode)| *mode).ok_or_else(wrong)?;
            }
            "sslrootcert" => {
                self.root_certificates = match value.as_str() {
                    "" => return Err("sslrootcert is a PEM file, or system".to_owned()),
                    SYSTEM => RootCertificates::System,
                    file => RootCertificates::File(PathBuf::from(file)),
                };
            }
            "connect_timeout" => {
                let seconds = value.parse().ok().map(Duration::from_secs);
                let fits = |time: &Duration| !time.is_zero() && *time <= LONGEST_CONNECT_TIMEOUT;
                self.connect_timeout = seconds.filter(fits).ok_or_else(|| {
                    let longest = LONGEST_CONNECT_TIMEOUT.as_secs();
                    format!("connect_timeout is a number of seconds, 1 to {longest}")
                })?;
            }
            "application_name" => self.application_name = Some(value),
            "options" => self.options = Some(value),
            "target_session_attrs" => {
                self.read_write = match value.as_str() {
                    "any" => false,
                    "read-write" | "primary" => true,
                    _ => return Err("target_session_attrs is any or read-write".to_owned()),
                };
            }
            key => {
                if let Some((_, instead)) = REFUSED_KEYS.iter().find(|(name, _)| *name == key) {
                    return Err(format!("the key {key} is not read: {instead}"));
                }
                // Deliberately only the key's name, and only if it looks like one.
                let is_name = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                let known = KEYS.join(", ");
                return Err(match crate::model::nearest(key, KEYS) {
                    Some(near) => format!("unknown key; did you mean {near}?"),
                    None if is_name => format!("unknown key {key}; there are {known}"),
                    None => format!("unknown key behind the ?; there are {known}"),
                });
            }
        }
        Ok(())
    }

    /// As libpq: the system's authorities sign for everybody, so without a look at the name they say nothing.
    fn check_roots(&mut self, given: bool) -> Result<(), String> {
        match (&self.root_certificates, self.ssl_mode) {
            (RootCertificates::System, mode) if given && mode != SslMode::VerifyFull => {
                Err("sslrootcert=system goes with sslmode=verify-full only: the system's authorities sign for anybody".to_owned())
            }
            (RootCertificates::File(_), SslMode::Require) => {
                self.ssl_mode = SslMode::VerifyCa;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The servers, for people: `db:5432`.
    pub fn servers(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(PostgresHost::to_string).collect();
        hosts.join(",")
    }
}

/// `a` → `"a"`: a name in the server's SQL, with the case that it has.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `name`, `name:port`, `[::1]:port`, `%2Fvar%2Frun%2Fpostgresql`.
fn host(text: &str) -> Result<PostgresHost, String> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, behind) = rest
                .split_once(']')
                .ok_or("the address has a [ without its ]")?;
            (name, behind.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let name = decoded(name, "the host")?;
    if name.is_empty() {
        return Err(format!("the host is missing; it is {FORM}"));
    }
    if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("the host has a blank".to_owned());
    }
    let port = match port {
        None | Some("") => Some(DEFAULT_PORT),
        Some(port) => port.parse().ok().filter(|port| *port > 0),
    };
    // Deliberately without it: of a password with a / the rest looks like a port.
    let port = port.ok_or(
        "the port is no number from 1 to 65535 (in a password : / ? # [ ] and @ are written with %, as %2F)",
    )?;
    Ok(PostgresHost { name, port })
}

/// A part that was given; `None`: it is empty.
fn filled(text: Option<&str>, what: &str) -> Result<Option<String>, String> {
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| decoded(text, what)).transpose()
}

/// `%41` → `A`.
fn decoded(text: &str, what: &str) -> Result<String, String> {
    let wrong = || {
        format!("{what} has a % that is not followed by two hexadecimal digits (% itself is %25)")
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = digit(digits[0]).zip(digit(digits[1])).ok_or_else(wrong)?;
        bytes.push((high * 16 + low) as u8);
        rest = behind;
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(format!("{what} is no text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PostgresUrl {
        PostgresUrl::parse(text).unwrap()
    }

    #[test]
    fn a_url_says_what_libpqs_says() {
        let url = parsed(
            "postgres://ticks:p%40ss%2F@db:6543/market?sslmode=verify-full&sslrootcert=ca.pem&connect_timeout=3&application_name=a%20b&options=-c%20x%3D1&target_session_attrs=read-write",
        );
        assert_eq!(url.servers(), "db:6543");
        assert_eq!(url.user.as_deref(), Some("ticks"));
        assert!(url.password.as_ref().unwrap().is(b"p@ss/"));
        assert_eq!(url.database.as_deref(), Some("market"));
        assert_eq!(url.ssl_mode, SslMode::VerifyFull);
        assert_eq!(
            url.root_certificates,
            RootCertificates::File("ca.pem".into())
        );
        assert_eq!(url.connect_timeout, Duration::from_secs(3));
        assert_eq!(url.application_name.as_deref(), Some("a b"));
        assert_eq!(url.options.as_deref(), Some("-c x=1"));
        assert!(url.read_write);
    }

    #[test]
    fn what_is_not_said_is_as_libpq_has_it() {
        let url = parsed("postgresql://db");
        assert_eq!(url.servers(), "db:5432");
        assert_eq!((url.user, url.password, url.database), (None, None, None));
        assert_eq!(url.ssl_mode, SslMode::Prefer);
        assert_eq!(url.connect_timeout, DEFAULT_CONNECT_TIMEOUT);
        // What libpq would not take, but nobody can mean otherwise.
        let url = parsed("postgres://u:a/b@c@h:1/d");
        assert!(url.password.unwrap().is(b"a/b@c") && url.hosts[0].port == 1);
        // A root certificate makes `require` look at it.
        let url = parsed("postgres://db/m?sslmode=require&sslrootcert=a.pem");
        assert_eq!(url.ssl_mode, SslMode::VerifyCa);
    }

    #[test]
    fn hosts_are_names_addresses_and_sockets() {
        let url = parsed("postgres://u@a,b:2,[::1]:3,[2001:db8::1],%2Frun%2Fpg:4/m");
        assert_eq!(
            url.servers(),
            "a:5432,b:2,[::1]:3,[2001:db8::1]:5432,/run/pg:4"
        );
        let local: Vec<bool> = url.hosts.iter().map(PostgresHost::is_local).collect();
        assert_eq!(local, [false, false, true, false, true]);
        assert!(parsed("postgres://127.0.0.1").hosts[0].is_local());
    }

    #[test]
    fn a_wrong_url_is_told_without_what_it_holds() {
        for (text, said) in [
            ("", "postgres://"),
            ("mysql://u:hunter2@h/d", "postgres://"),
            ("host=h password=hunter2", "postgres://"),
            ("postgres://u:hunter2@/d", "the host is missing"),
            ("postgres://u:hunter2@h/d/e", "the database's name has a /"),
            ("postgres://u:hunter2#x@h/d", "%23"),
            ("postgres://u:hunter2%@h/d", "the password has a %"),
            ("postgres://u:hunter2%zz@h/d", "the password has a %"),
            ("postgres://u:hunter2%ff@h/d", "the password is no text"),
            ("postgres://u:hunter2@h:0/d", "the port is no number"),
            ("postgres://u:hunter2@h:99999/d", "the port is no number"),
            ("postgres://u:hunter2", "the port is no number"),
            ("postgres://u@[::1/d", "a [ without its ]"),
            (
                "postgres://h/d?sslmode=allow",
                "sslmode is one of disable, prefer",
            ),
            ("postgres://h/d?sslmode=hunter2", "sslmode is one of"),
            ("postgres://h/d?connect_timeout=0", "connect_timeout is"),
            ("postgres://h/d?connect_timeout=61", "1 to 60"),
            (
                "postgres://h/d?target_session_attrs=standby",
                "any or read-write",
            ),
            ("postgres://h/d?sslrootcert=system", "verify-full only"),
            ("postgres://h/d?sslrootcert=", "a PEM file"),
            (
                "postgres://h/d?password=hunter2",
                "as the option 'password'",
            ),
            ("postgres://h/d?sslkey=hunter2", "are not sent"),
            ("postgres://h/d?ssl_mode=require", "did you mean sslmode?"),
            ("postgres://h/d?gssencmode=prefer", "unknown key gssencmode"),
            ("postgres://h/d?x:hunter2@", "unknown key behind the ?"),
        ] {
            let error = PostgresUrl::parse(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let url = parsed("postgres://u:hunter2@h/d");
        let shown = format!("{url:?} {}", url.servers());
        assert!(
            shown.contains("***") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
