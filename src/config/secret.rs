//! A value that must not be shown.

use std::fmt;

/// A token or password. `Debug` and `Display` show `***`; [`Secret::reveal`] gives the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value itself; it goes to the peer it is meant for and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `sent` is the value. It takes as long whatever the first difference is, so that a token cannot be
    /// guessed byte by byte.
    pub fn is(&self, sent: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own.iter().zip(sent).fold(0, |all, (a, b)| all | (a ^ b));
        own.len() == sent.len() && differences == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Secret {
        Secret(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_value_is_it() {
        let token = Secret::new("abc");
        assert!(token.is(b"abc"));
        for other in [&b""[..], b"ab", b"abcd", b"abd", b"Abc"] {
            assert!(!token.is(other), "{other:?}");
        }
    }
}
