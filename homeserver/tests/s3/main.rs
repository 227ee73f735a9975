//! Files in a bucket: the media store against S3Proxy, a real server of S3's protocol, which run.sh fetches.
#![expect(clippy::disallowed_methods, reason = "a test spawns by itself")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod promise;
mod service;
mod trouble;

use std::time::Duration;

use config::{Config, Span};
use service::Bucket;
use support::{Server, User};

/// L in these tests.
const L: Duration = Duration::from_hours(1);

/// The length of a slot in these tests.
const SLOT: Duration = Duration::from_mins(1);

/// A server with its files in `bucket`.
async fn server(bucket: &Bucket, change: impl FnOnce(&mut Config)) -> Server {
    Server::start_with(|config| {
        config.retention.lifetime = Span::from_secs(L.as_secs());
        config.retention.slot = Span::from_secs(SLOT.as_secs());
        bucket.configure(config);
        change(config);
    })
    .await
}

/// Bytes that repeat nowhere near.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 7 % 251).expect("small")).collect()
}

async fn uploaded(user: &User<'_>, bytes: Vec<u8>) -> String {
    let answer = user.upload("a.bin", "application/octet-stream", bytes).await.ok();
    answer["content_uri"].as_str().expect("a URI").to_owned()
}
