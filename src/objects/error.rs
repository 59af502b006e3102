//! What a store's refusal means for the job, in words of our own.
//!
//! Deliberately: nothing of what the client or the store says is repeated but a status, a code such as
//! `SlowDown`, and the system's own words: their texts quote URLs, headers and what was signed.

use std::error::Error as _;

use object_store::Error as ClientError;

/// Letters of a store's code at most.
const CODE_LETTERS: usize = 64;
/// Where instances of a cloud ask for their rights; nobody is there on other machines.
const METADATA: [&str; 2] = ["169.254.169.254", "metadata.google.internal"];

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An object of that key is there already; nothing was changed.
    #[error("{0} is there already")]
    Exists(String),
    /// There is no such object.
    #[error("{0} is not there")]
    NotFound(String),
    /// Not now: the store does not answer, or is too busy. Whether a change was made is not known.
    #[error("{0}")]
    Away(String),
    /// It will not do it, now or later, until a person changes something.
    #[error("{0}")]
    Refused(String),
}

/// Says what `error` means when `place`, a bucket or an object, was asked to do something.
pub(super) fn of(doing: &str, place: &str, root: &str, error: &ClientError) -> StoreError {
    let text = error.to_string();
    let code = code(&text);
    let status = status(&text);
    let what = |why: &str| format!("cannot {doing} {place}: {why}");
    if matches!(
        code.as_deref(),
        Some("NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName")
    ) {
        return StoreError::Refused(what(&format!(
            "there is no {root}; make it, or name another one"
        )));
    }
    match error {
        ClientError::NotFound { .. } => return StoreError::NotFound(place.to_owned()),
        ClientError::AlreadyExists { .. } | ClientError::Precondition { .. } => {
            return StoreError::Exists(place.to_owned());
        }
        ClientError::NotSupported { .. } | ClientError::NotImplemented { .. } => {
            return StoreError::Refused(what("this store, or its client, does not do that"));
        }
        ClientError::PermissionDenied { .. } | ClientError::Unauthenticated { .. } => {
            return StoreError::Refused(what(&refused(code.as_deref(), status.unwrap_or(403))));
        }
        ClientError::InvalidPath { .. } => {
            return StoreError::Refused(what("the key cannot be one of an object store"));
        }
        _ => {}
    }
    if METADATA.iter().any(|host| text.contains(host)) {
        return StoreError::Refused(what(
            "no credentials are given, and this machine has none by itself; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_KEY), or 'storage.' options of the table",
        ));
    }
    let named = (code.as_ref()).map_or_else(String::new, |code| format!(" ({code})"));
    match status {
        Some(301 | 307 | 308) => StoreError::Refused(what(
            "the bucket is in another region; say which by AWS_REGION or 'storage.region'",
        )),
        Some(501) => StoreError::Refused(what(&format!("the store does not do that{named}"))),
        Some(status @ (408 | 429 | 500..)) => {
            StoreError::Away(what(&format!("it answers {status}{named}")))
        }
        Some(status) => StoreError::Refused(what(&refused(code.as_deref(), status))),
        None if text.contains("redirect without LOCATION") => StoreError::Refused(what(
            "the bucket is in another region; say which by AWS_REGION or 'storage.region'",
        )),
        None => StoreError::Away(what(&system_words(error))),
    }
}

/// What is wrong with a request that the store understood, and what helps.
fn refused(code: Option<&str>, status: u16) -> String {
    let advice = match code {
        Some("InvalidAccessKeyId") => "the store does not know the access key",
        Some("SignatureDoesNotMatch") => "the secret key is not the one of the access key",
        Some("RequestTimeTooSkewed") => "this machine's clock is wrong",
        Some("ExpiredToken" | "InvalidToken" | "TokenRefreshRequired") => {
            "the session's token has expired; give a new one"
        }
        Some("AccessDenied" | "AllAccessDisabled" | "AuthorizationFailure") => {
            "it gives no right to do that; the job needs to list, get, put and delete"
        }
        _ if status == 401 || status == 403 => {
            "it refuses the credentials, or gives them no right to do that; the job needs to list, get, put and delete"
        }
        _ => "it refuses the request",
    };
    match code {
        Some(code) => format!("{advice} ({status} {code})"),
        None => format!("{advice} ({status})"),
    }
}

/// The number in `status code: 503`.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.rsplit_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// What stands in `<Code>SlowDown</Code>`, or `"code": "…"`, if it is one word.
fn code(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once('<')?;
    let is_word = !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_word && code.len() <= CODE_LETTERS).then(|| code.to_owned())
}

/// What the system says of a connection that failed; its words hold no request.
fn system_words(error: &ClientError) -> String {
    let mut found = None;
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(io) = source.downcast_ref::<std::io::Error>() {
            found = Some(io);
        }
        next = source.source();
    }
    match found {
        Some(error) if error.raw_os_error().is_some() => format!("it cannot be reached: {error}"),
        Some(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            "it does not answer".to_owned()
        }
        Some(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            format!("its certificate is not accepted: {error}")
        }
        Some(error) => format!("it cannot be reached: {}", error.kind()),
        None => "it cannot be reached, or does not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> ClientError {
        ClientError::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    fn told(error: &ClientError) -> StoreError {
        of("put", "s3://b/k", "s3://b", error)
    }

    #[test]
    fn a_busy_store_is_away_and_a_wrong_key_is_final() {
        let busy = generic(
            "Error performing PUT http://h/b/k?X-Amz-Signature=hidden in 8s - Server returned non-2xx status code: 503: <Error><Code>SlowDown</Code><Message>hidden</Message></Error>",
        );
        assert_eq!(
            told(&busy),
            StoreError::Away("cannot put s3://b/k: it answers 503 (SlowDown)".to_owned())
        );
        let wrong = ClientError::PermissionDenied {
            path: "k".to_owned(),
            source: "status code: 403: <Code>SignatureDoesNotMatch</Code><StringToSign>hidden"
                .into(),
        };
        assert_eq!(
            told(&wrong),
            StoreError::Refused(
                "cannot put s3://b/k: the secret key is not the one of the access key (403 SignatureDoesNotMatch)"
                    .to_owned()
            )
        );
        let expired = generic("status code: 400: <Code>ExpiredToken</Code>hidden");
        assert!(
            matches!(told(&expired), StoreError::Refused(text) if text.contains("expired") && !text.contains("hidden"))
        );
    }

    #[test]
    fn what_is_not_there_is_told_from_a_bucket_that_is_not_there() {
        let missing = |body: &str| ClientError::NotFound {
            path: "k".to_owned(),
            source: format!("status code: 404: {body}").into(),
        };
        assert_eq!(
            told(&missing("<Code>NoSuchKey</Code>")),
            StoreError::NotFound("s3://b/k".to_owned())
        );
        let bucket = told(&missing("<Code>NoSuchBucket</Code>"));
        assert!(matches!(bucket, StoreError::Refused(text) if text.contains("there is no s3://b")));
    }

    #[test]
    fn a_connection_that_is_refused_is_away_in_the_systems_words() {
        let refused = std::io::Error::from_raw_os_error(111);
        let error = ClientError::Generic {
            store: "S3",
            source: Box::new(refused),
        };
        assert!(matches!(told(&error), StoreError::Away(text) if text.contains("os error 111")));
        let metadata = generic("Error performing PUT http://169.254.169.254/latest/api/token");
        assert!(
            matches!(told(&metadata), StoreError::Refused(text) if text.contains("AWS_ACCESS_KEY_ID"))
        );
        let odd = generic("status code: 400: <Code>a b hidden</Code>");
        assert_eq!(
            told(&odd),
            StoreError::Refused("cannot put s3://b/k: it refuses the request (400)".to_owned())
        );
    }
}
