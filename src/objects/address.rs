//! Where objects stand: which store, which bucket, which keys. Pure: nothing here asks anybody.

use std::fmt;

use object_store::path::Path as Key;
use url::Url;

/// What an address is told to be instead of what it was.
const FORMS: &str = "s3://bucket/ohlc, s3::http://host:9000/bucket/ohlc, gs://bucket/ohlc, az://container/ohlc, abfss://container@account.dfs.core.windows.net/ohlc or https://account.blob.core.windows.net/container/ohlc";

/// Whose protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Amazon's S3, and whoever speaks it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// Where a table, or a job's checkpoints, stand on an object store.
///
/// Invariant: it holds no secret, and no name in it is `.`, `..` or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) kind: Kind,
    /// The bucket or container, as messages name it: `s3://bucket`.
    pub(super) root: String,
    /// Its name alone.
    pub(super) bucket: String,
    /// The server, where the URL names it: `http://host:9000`.
    pub(super) endpoint: Option<String>,
    /// What the keys below it begin with, without slashes around it.
    prefix: String,
}

impl Address {
    /// Whether a path is an object store's and not the file system's. A file URL is not.
    pub fn is_one(path: &str) -> bool {
        let path = path.trim();
        path.starts_with("s3::")
            || (path.split_once("://")).is_some_and(|(scheme, _)| scheme != "file")
    }

    /// Takes a URL apart.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written; never the URL itself, which may hold a secret.
    pub fn parse(url: &str) -> Result<Address, String> {
        let text = url.trim();
        let wrong = |what: &str| Err(format!("{what}; it is written as {FORMS}"));
        let (endpoint_in_url, plain) = match text.strip_prefix("s3::") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let Ok(url) = Url::parse(plain) else {
            return wrong("this is not a URL");
        };
        let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
            return wrong("the URL names no bucket");
        };
        if url.query().is_some() || url.fragment().is_some() {
            return wrong(
                "the URL has something after a ? or #, which belongs into 'storage.' options or the environment",
            );
        }
        let is_abfs = matches!(url.scheme(), "abfs" | "abfss");
        if url.password().is_some() || (!url.username().is_empty() && !is_abfs) {
            return wrong(
                "the URL holds a login, which belongs into 'storage.' options or the environment",
            );
        }
        let path = url.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let azure_host = [".blob.core.windows.net", ".dfs.core.windows.net"]
            .iter()
            .any(|ending| host.ends_with(ending));
        // The bucket is the host, or the first part of the path.
        let (kind, root, bucket, endpoint, path) = match url.scheme() {
            "http" | "https" if endpoint_in_url => {
                let (bucket, rest) = path.split_once('/').unwrap_or((path, ""));
                let endpoint = url[..url::Position::BeforePath].to_owned();
                let root = format!("s3::{endpoint}/{bucket}");
                (Kind::S3, root, bucket, Some(endpoint), rest)
            }
            _ if endpoint_in_url => return wrong("after s3:: comes http:// or https://"),
            "s3" | "s3a" => (Kind::S3, format!("s3://{host}"), host, None, path),
            "gs" => (Kind::Gcs, format!("gs://{host}"), host, None, path),
            "az" | "adl" | "azure" => (Kind::Azure, format!("az://{host}"), host, None, path),
            scheme @ ("abfs" | "abfss") => match url.username() {
                "" => (Kind::Azure, format!("az://{host}"), host, None, path),
                _ if !azure_host => return wrong("what is behind the @ is no account of Azure"),
                container => {
                    let root = format!("{scheme}://{container}@{host}");
                    (Kind::Azure, root, container, None, path)
                }
            },
            "https" if azure_host => {
                let (container, rest) = path.split_once('/').unwrap_or((path, ""));
                (
                    Kind::Azure,
                    format!("https://{host}/{container}"),
                    container,
                    None,
                    rest,
                )
            }
            "http" | "https" => {
                return wrong("a web address is no store; a server that speaks S3 is s3::http://…");
            }
            _ => return wrong("no object store has this kind of URL"),
        };
        if bucket.is_empty() {
            return wrong("the URL names no bucket");
        }
        let (root, bucket) = (root, bucket.to_owned());
        // As written: a URL's own %20 is a blank of the key.
        let path = path.strip_suffix('/').unwrap_or(path);
        // A slash at either end would be passed over.
        let has_empty_end = path.starts_with('/') || path.ends_with('/');
        let (Ok(prefix), false) = (Key::from_url_path(path), has_empty_end) else {
            return wrong("a part of the URL's path is empty, . or ..");
        };
        Ok(Address {
            kind,
            root,
            bucket,
            endpoint,
            prefix: prefix.as_ref().to_owned(),
        })
    }

    /// As [`Address::parse`], for what needs keys of its own and a place beside them.
    ///
    /// # Errors
    /// As [`Address::parse`]; and the bucket's root is refused.
    pub fn of_table(url: &str) -> Result<Address, String> {
        let address = Address::parse(url)?;
        match address.prefix.is_empty() {
            true => Err(format!(
                "{} is a whole bucket; staged files need a place beside the table: give it a path, as in {}/ohlc",
                address.root, address.root
            )),
            false => Ok(address),
        }
    }

    /// What the keys of what stands here begin with, without slashes around it; empty for a bucket's root.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The bucket, for messages: `s3://bucket`.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The place beside a table where `folder` keeps what belongs to it: `p/ohlc` → `p/_stage/ohlc`.
    pub fn beside(&self, folder: &str) -> Address {
        let prefix = match self.prefix.rsplit_once('/') {
            Some((parent, name)) => format!("{parent}/{folder}/{name}"),
            None => format!("{folder}/{}", self.prefix),
        };
        Address {
            prefix,
            ..self.clone()
        }
    }

    /// Whether both are in one bucket of one store.
    pub fn is_beside(&self, other: &Address) -> bool {
        self.root == other.root
    }
}

impl fmt::Display for Address {
    /// As it is written, without a slash at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.is_empty() {
            true => f.write_str(&self.root),
            false => write!(f, "{}/{}", self.root, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_store_a_bucket_and_a_prefix() {
        for (url, shown, bucket, prefix) in [
            ("s3://b/p/ohlc/", "s3://b/p/ohlc", "b", "p/ohlc"),
            ("s3a://b/ohlc", "s3://b/ohlc", "b", "ohlc"),
            ("s3://b", "s3://b", "b", ""),
            ("gs://b/a%20b", "gs://b/a b", "b", "a b"),
            ("az://c/ohlc", "az://c/ohlc", "c", "ohlc"),
            ("abfs://c/ohlc", "az://c/ohlc", "c", "ohlc"),
            (
                "s3::http://127.0.0.1:9000/b/p/ohlc",
                "s3::http://127.0.0.1:9000/b/p/ohlc",
                "b",
                "p/ohlc",
            ),
            (
                "abfss://c@a.dfs.core.windows.net/ohlc",
                "abfss://c@a.dfs.core.windows.net/ohlc",
                "c",
                "ohlc",
            ),
            (
                "https://a.blob.core.windows.net/c/p/ohlc",
                "https://a.blob.core.windows.net/c/p/ohlc",
                "c",
                "p/ohlc",
            ),
        ] {
            assert!(Address::is_one(url), "{url}");
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(
                (address.bucket.as_str(), address.prefix()),
                (bucket, prefix)
            );
        }
        let local = Address::parse("s3::http://127.0.0.1:9000/b/x").unwrap();
        assert_eq!(local.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        for path in ["data/ohlc", "/data/ohlc", "file:///data/ohlc", "a:b"] {
            assert!(!Address::is_one(path), "{path}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_being_repeated() {
        for url in [
            "s3://",
            "s3:///ohlc",
            "s3://b/../x/..",
            "s3://b//x",
            "s3://AKIA:hidden@b/ohlc",
            "s3://b/ohlc?sig=hidden",
            "s3://b/ohlc#hidden",
            "s3::s3://b/ohlc",
            "s3::http://host:9000",
            "ftp://hidden/x",
            "https://example.com/hidden",
            "abfss://hidden@example.com/x",
            "az:/x",
        ] {
            if url == "s3://b/../x/.." {
                // The URL's own rules make it the root.
                assert!(Address::of_table(url).is_err());
                continue;
            }
            let error = Address::parse(url).unwrap_err();
            assert!(!error.contains("hidden"), "{error}");
        }
        let error = Address::of_table("s3://b/").unwrap_err();
        assert!(error.contains("a whole bucket"), "{error}");
    }

    #[test]
    fn staging_and_checkpoint_stand_beside_the_table() {
        let beside = |url: &str| Address::parse(url).unwrap().beside("_stage").to_string();
        assert_eq!(beside("s3://b/p/q/ohlc"), "s3://b/p/q/_stage/ohlc");
        assert_eq!(beside("s3://b/ohlc"), "s3://b/_stage/ohlc");
    }
}
