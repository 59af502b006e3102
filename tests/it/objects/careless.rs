//! A store that puts what is only to be put if it is new, whatever is there.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use stockpulse::objects::{Address, Objects, Owner, StoreError};

#[derive(Debug)]
struct Careless(InMemory);

impl fmt::Display for Careless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Careless {
    async fn put_opts(
        &self,
        key: &Path,
        body: PutPayload,
        mut how: PutOptions,
    ) -> Result<PutResult> {
        how.mode = PutMode::Overwrite;
        self.0.put_opts(key, body, how).await
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(key, how).await
    }

    async fn get_opts(&self, key: &Path, how: GetOptions) -> Result<GetResult> {
        self.0.get_opts(key, how).await
    }

    fn delete_stream(
        &self,
        keys: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(keys)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, how).await
    }
}

#[test]
fn a_store_that_ignores_conditions_is_refused() {
    let address = Address::parse("s3://ticks/data/ohlc").unwrap();
    let store = Arc::new(Careless(InMemory::new()));
    let objects = Objects::over(store, &address, None).unwrap();
    let Err(StoreError::Refused(why)) = Owner::claim(&objects, "data/_stage/ohlc") else {
        panic!("it was taken");
    };
    assert!(why.contains("ignores conditions"), "{why}");
}

#[test]
fn each_start_has_the_next_number_and_forgets_the_earlier_ones() {
    let address = Address::parse("s3://ticks/data/ohlc").unwrap();
    let objects = Objects::over(Arc::new(InMemory::new()), &address, None).unwrap();
    let prefix = "data/_stage/ohlc";
    let claim = || Owner::claim(&objects, prefix).unwrap();
    assert_eq!([claim(), claim()], [Owner(1), Owner(2)]);
    let third = claim();
    third.forget_earlier(&objects, prefix).unwrap();
    let keys: Vec<String> = (objects.list(prefix, None).unwrap().into_iter())
        .map(|object| object.key)
        .collect();
    assert_eq!(keys, ["data/_stage/ohlc/start-000000003.json"]);
    assert_eq!(claim(), Owner(4));
    assert_eq!(Owner::of_folder(&third.folder()), Some(third));
    assert_eq!(Owner::of_folder("3"), None);
}
