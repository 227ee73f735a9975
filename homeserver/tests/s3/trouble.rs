//! A service that is away or refuses.

use homeserver::workers::expiry;
use serde_json::json;

use crate::service::Bucket;
use crate::support::{Server, User};
use crate::{L, SLOT, content, server, uploaded};

#[tokio::test]
async fn while_the_service_is_away_chats_go_on_and_afterwards_nothing_is_lost() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |_| ()).await;
    let ada = server.register("ada").await;
    let room = ada.create_room(json!({})).await;
    let file = uploaded(&ada, content(6_000_000)).await;
    bucket.shut();
    for size in [1_000, 12_000_000] {
        ada.upload("b", "text/plain", content(size)).await.is_error(503, "M_UNKNOWN");
    }
    let path = format!("/_matrix/client/v1/media/download/{}", &file[6..]);
    ada.get(&path).await.is_error(503, "M_UNKNOWN");
    ada.get(&format!("{}?width=32&height=32", path.replace("download", "thumbnail"))).await.is_error(503, "M_UNKNOWN");
    ada.send(&room, "words need no bucket").await;
    let swept = expiry::sweep(&server.app).await.expect_err("files cannot be looked through");
    assert_eq!(swept.status(), 503);
    bucket.open();
    assert!(ada.download(&file).await.bytes().await.expect("all") == content(6_000_000));
    let config = ada.get("/_matrix/client/v1/media/config").await.ok();
    assert_eq!(config["m.upload.size"], json!(200_000_000), "what was refused does not count");

    // What has expired meanwhile is removed when the service is back.
    bucket.shut();
    server.clock.advance(L + SLOT);
    expiry::sweep(&server.app).await.expect_err("the file cannot be removed");
    bucket.open();
    expiry::sweep(&server.app).await.expect("sweeps");
    assert_eq!(bucket.files().len(), 0);
}

#[tokio::test]
async fn a_start_tells_what_is_wrong_with_the_bucket() {
    let bucket = Bucket::new().await;
    let server = server(&bucket, |_| ()).await;
    let user = server.register("ada").await;
    let file = uploaded(&user, content(100_000)).await;
    let (user_id, device_id, token) = (user.user_id.clone(), user.device_id.clone(), user.token.clone());
    let stopped = server.stop().await;

    bucket.shut();
    let away = stopped.refuses_to_start().await;
    assert!(away.contains(&bucket.uri()), "{away}");
    bucket.open();
    let stopped = stopped.with(|config| config.media.s3.as_mut().expect("a bucket").bucket = "no-bucket".to_owned());
    let missing = stopped.refuses_to_start().await;
    assert!(missing.contains("s3://no-bucket") && missing.contains("no such bucket"), "{missing}");
    let stopped = stopped.with(|config| config.media.s3.as_mut().expect("a bucket").access_key_id = "nobody".to_owned());
    let unknown = stopped.refuses_to_start().await;
    assert!(unknown.contains("media.s3.access_key_id"), "{unknown}");
    bucket.forget_secret();
    let stopped = stopped.with(|config| bucket.configure(config));
    let wrong = stopped.refuses_to_start().await;
    assert!(wrong.contains("secret_access_key_file") && !wrong.contains("another"), "{wrong}");
    bucket.remember_secret();

    // What a kill left on its way in is removed by the start; what its sender left since, by the next sweep.
    bucket.put("incoming/left", "whole, but in no slot").await;
    let server = stopped.start().await;
    assert_eq!(bucket.files().len(), 1);
    let ada = User { server: &server, user_id, device_id, token };
    assert!(ada.download(&file).await.bytes().await.expect("all") == content(100_000));
    bucket.put("incoming/left", "whole, but in no slot").await;
    expiry::sweep(&server.app).await.expect("sweeps");
    assert_eq!(bucket.files().len(), 1);
}

#[tokio::test]
async fn two_servers_share_a_bucket_by_prefixes() {
    let bucket = Bucket::new().await;
    let first = server(&bucket, |_| ()).await;
    let second: Server =
        server(&bucket, |config| config.media.s3.as_mut().expect("a bucket").prefix = "another".to_owned()).await;
    let (ada, bob) = (first.register("ada").await, second.register("bob").await);
    uploaded(&ada, content(1_000)).await;
    let of_bob = uploaded(&bob, content(2_000)).await;
    first.clock.advance(L + SLOT);
    expiry::sweep(&first.app).await.expect("sweeps");
    assert_eq!(bucket.files().len(), 1);
    assert!(bob.download(&of_bob).await.bytes().await.expect("all") == content(2_000));
}
