//! An address and its options → the client of its store.
//!
//! What is not among a table's `storage.` options comes from the environment, under the names that each cloud's own
//! tools have: `AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_KEY`, …; and where that has
//! none, from the machine's own role.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{
    BackoffConfig, ClientConfigKey, Error as ClientError, ObjectStore, RetryConfig,
};
use url::{Host, Url};

use super::address::Kind;
use super::watch::Watch;
use super::{Address, Objects, StoreError};
use crate::config::secret::Secret;

/// A request is repeated so often, for so long: the job itself tries again for longer, and says so.
const RETRIES: usize = 3;
/// See [`RETRIES`].
const RETRY_TIMEOUT: Duration = Duration::from_secs(8);

/// A table's `storage.` options, by their names without that: the client's own, `access_key_id`, `region`,
/// `endpoint`, `allow_http`, ….
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageOptions(Vec<(String, Secret)>);

impl StorageOptions {
    /// One more.
    ///
    /// # Errors
    /// The store of `address` has no such option, or the URL says it.
    pub fn add(&mut self, address: &Address, name: &str, value: Secret) -> Result<(), String> {
        let name = name.to_lowercase();
        let (is_known, is_place, of) = match address.kind {
            Kind::S3 => {
                let key = AmazonS3ConfigKey::from_str(&name).ok();
                let is_place = matches!(key, Some(AmazonS3ConfigKey::Bucket));
                (key.is_some(), is_place, "an S3 store")
            }
            Kind::Gcs => {
                let key = GoogleConfigKey::from_str(&name).ok();
                let is_place = matches!(key, Some(GoogleConfigKey::Bucket));
                (key.is_some(), is_place, "Google Cloud Storage")
            }
            Kind::Azure => {
                let key = AzureConfigKey::from_str(&name).ok();
                let is_place = matches!(key, Some(AzureConfigKey::ContainerName));
                (key.is_some(), is_place, "Azure Blob Storage")
            }
        };
        match (is_known, is_place) {
            (false, _) => Err(format!("{of} has no such option")),
            (true, true) => Err("the path's URL says which one".to_owned()),
            (true, false) => {
                self.0.push((name, value));
                Ok(())
            }
        }
    }

    fn has_endpoint(&self) -> bool {
        let is = |key| {
            matches!(
                key,
                AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint
            )
        };
        self.0.iter().any(|(name, _)| name.parse().is_ok_and(is))
    }
}

/// How stores are reached. Clones are the same way.
#[derive(Clone, Default)]
pub struct Stores {
    watch: Option<Arc<dyn Watch>>,
    instead: Option<Arc<dyn ObjectStore>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Stores");
        shown.field("watched", &self.watch.is_some());
        shown.field("instead", &self.instead.is_some()).finish()
    }
}

impl Stores {
    /// One store that stands for all, for tests; `watch` hears of every request.
    pub fn instead(store: Arc<dyn ObjectStore>, watch: Option<Arc<dyn Watch>>) -> Stores {
        Stores {
            watch,
            instead: Some(store),
        }
    }

    /// The way to the bucket of `address`. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: options that do not fit, or plain HTTP to another machine.
    pub fn open(&self, address: &Address, options: &StorageOptions) -> Result<Objects, StoreError> {
        let store = match &self.instead {
            Some(store) => Arc::clone(store),
            None => client(address, options)?,
        };
        Objects::over(store, address, self.watch.clone())
    }
}

fn client(address: &Address, options: &StorageOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let refused = |why: &str| StoreError::Refused(format!("{address} cannot be opened: {why}"));
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    };
    // Deliberately without what the client says, which may quote a value.
    let unfit = |names: &str| {
        refused(&format!(
            "its options cannot be read or do not fit together: look at the table's 'storage.' options, at the {names} variables, and at the file that they name"
        ))
    };
    match address.kind {
        Kind::S3 => {
            let mut builder = AmazonS3Builder::new().with_retry(retry);
            for (key, value) in given::<AmazonS3ConfigKey>("AWS_", options) {
                builder = builder.with_config(key, value);
            }
            let given = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
            if let Some(endpoint) = address
                .endpoint
                .clone()
                .or(given.filter(|_| options.has_endpoint()))
            {
                // Else a variable of the environment would go before it.
                builder = builder
                    .with_config(AmazonS3ConfigKey::S3Endpoint, &endpoint)
                    .with_config(AmazonS3ConfigKey::Endpoint, &endpoint);
            }
            let endpoint = builder
                .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
                .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));
            let allow = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
            match plain(endpoint.as_deref()) {
                Plain::No => {}
                Plain::Loopback => builder = builder.with_config(allow, "true"),
                Plain::Elsewhere if builder.get_config_value(&allow).as_deref() == Some("true") => {
                }
                Plain::Elsewhere => return Err(refused(NO_PLAIN_HTTP)),
            }
            let store = builder.with_bucket_name(&address.bucket).build();
            store.map(shared).map_err(|_| unfit("AWS_…"))
        }
        Kind::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::new().with_retry(retry);
            for (key, value) in given::<GoogleConfigKey>("GOOGLE_", options) {
                builder = builder.with_config(key, value);
            }
            for key in [
                GoogleConfigKey::ServiceAccount,
                GoogleConfigKey::ApplicationCredentials,
            ] {
                let path = builder.get_config_value(&key);
                if let Some(path) = path.filter(|path| !Path::new(path).is_file()) {
                    return Err(refused(&format!(
                        "its credentials are to be in {path}, which is no file"
                    )));
                }
            }
            let store = builder.with_bucket_name(&address.bucket).build();
            store.map(shared).map_err(|_| unfit("GOOGLE_…"))
        }
        Kind::Azure => {
            let mut builder = MicrosoftAzureBuilder::new().with_retry(retry);
            for (key, value) in given::<AzureConfigKey>("AZURE_", options) {
                builder = builder.with_config(key, value);
            }
            let emulated = builder.get_config_value(&AzureConfigKey::UseEmulator);
            let account = builder.get_config_value(&AzureConfigKey::AccountName);
            let is_emulated = emulated.as_deref() == Some("true");
            if address.root().starts_with("az://") && account.is_none() && !is_emulated {
                return Err(refused(
                    "the storage account is not named; say which by AZURE_STORAGE_ACCOUNT_NAME, 'storage.account_name', or a URL such as https://account.blob.core.windows.net/container/ohlc",
                ));
            }
            let store = builder.with_url(address.root()).build();
            store.map(shared).map_err(|_| unfit("AZURE_…"))
        }
    }
}

/// What an address of plain HTTP is refused with.
const NO_PLAIN_HTTP: &str = "its server is reached by plain http, which anybody on the way can read and change; use https, or say 'storage.allow_http' = 'true'";

fn shared<S: ObjectStore>(store: S) -> Arc<dyn ObjectStore> {
    Arc::new(store)
}

/// The environment's variables that begin so, then the table's own options, which go before them.
fn given<K: FromStr<Err = ClientError>>(
    prefix: &str,
    options: &StorageOptions,
) -> Vec<(K, String)> {
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with(prefix))?;
        let key = name.to_ascii_lowercase().parse().ok()?;
        Some((key, value.to_str()?.to_owned()))
    });
    let own = options.0.iter().filter_map(|(name, value)| {
        let key = name.parse().ok()?;
        Some((key, value.reveal().to_owned()))
    });
    environment.chain(own).collect()
}

/// Whether a server is spoken to without encryption, and where it stands.
#[derive(Debug, PartialEq, Eq)]
enum Plain {
    No,
    Loopback,
    Elsewhere,
}

fn plain(endpoint: Option<&str>) -> Plain {
    let Some(url) = endpoint.and_then(|endpoint| Url::parse(endpoint).ok()) else {
        return Plain::No;
    };
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    };
    match url.scheme() {
        "http" if is_loopback => Plain::Loopback,
        "http" => Plain::Elsewhere,
        _ => Plain::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(address: &Address, given: &[(&str, &str)]) -> StorageOptions {
        let mut options = StorageOptions::default();
        for (name, value) in given {
            options.add(address, name, Secret::new(*value)).unwrap();
        }
        options
    }

    fn opened(url: &str, given: &[(&str, &str)]) -> Result<Objects, StoreError> {
        let address = Address::parse(url).unwrap();
        let options = options(&address, given);
        Stores::default().open(&address, &options)
    }

    #[test]
    fn every_store_is_opened_by_its_url_and_options() {
        let s3 = [
            ("access_key_id", "AKIA"),
            ("secret_access_key", "hidden"),
            ("aws_region", "eu-central-1"),
        ];
        opened("s3://b/ohlc", &s3).unwrap();
        opened("s3::http://127.0.0.1:9000/b/ohlc", &s3).unwrap();
        let key = [("account_name", "a"), ("account_key", "aGlkZGVu")];
        opened("az://c/ohlc", &key).unwrap();
        opened("abfss://c@a.dfs.core.windows.net/ohlc", &key[1..]).unwrap();
        opened("https://a.blob.core.windows.net/c/ohlc", &key[1..]).unwrap();
        opened("gs://b/ohlc", &[("skip_signature", "true")]).unwrap();
    }

    #[test]
    fn options_that_do_not_fit_are_refused_without_their_values() {
        let away = [("endpoint", "http://store.example.com:9000")];
        let error = opened("s3://b/ohlc", &away).unwrap_err().to_string();
        assert!(error.contains("plain http"), "{error}");
        let allowed = [away[0], ("allow_http", "true")];
        opened("s3://b/ohlc", &allowed).unwrap();
        let error = opened("az://c/ohlc", &[]).unwrap_err().to_string();
        assert!(error.contains("AZURE_STORAGE_ACCOUNT_NAME"), "{error}");
        let bad = [("service_account_key", "hidden, and no JSON")];
        let error = opened("gs://b/ohlc", &bad).unwrap_err().to_string();
        assert!(
            !error.contains("hidden") && error.contains("GOOGLE_"),
            "{error}"
        );
        let missing = [("service_account", "no/such/file.json")];
        let error = opened("gs://b/ohlc", &missing).unwrap_err().to_string();
        assert!(error.contains("no/such/file.json"), "{error}");
    }

    #[test]
    fn an_option_of_another_store_is_unknown_and_a_bucket_is_the_urls() {
        let s3 = Address::parse("s3://b/ohlc").unwrap();
        let mut options = StorageOptions::default();
        let mut add = |name: &str| options.add(&s3, name, Secret::new("hidden"));
        assert!(add("account_key").is_err());
        assert!(add("bucket").unwrap_err().contains("URL"));
        add("Secret_Access_Key").unwrap();
        assert!(!format!("{options:?}").contains("hidden"));
    }
}
