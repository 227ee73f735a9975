//! What has expired is gone: from the desk at the moment, from the disk at the next sweep.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;

use bench::{Bench, until};

/// Whether the bytes occur in any file below the folder.
fn on_disk(folder: &std::path::Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            on_disk(&path, needle)
        } else {
            std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_files_go_when_their_time_is_over_and_were_never_readable_on_disk() {
    let bench = Bench::start("[retention]\nlifetime = \"15s\"\nslot = \"1s\"\nsweep = \"1s\"").await;
    let mut ada = bench.person("ada").await;
    let ana = bench.agent("Ana").await;
    let room = ada.chat().await;
    ada.say(&room, "a word to be found: xylophone").await;
    ada.send_file(&room, "marimba.txt", b"glockenspiel").await;
    let ticket = ana.find("ada").await;
    until("both", || async { (ana.ticket(ticket).await["entries"].as_array()?.len() == 2).then_some(()) }).await;
    ana.answer(ticket, "celesta").await;
    ada.until_heard(&room, 1).await;
    let data = bench.bridge.data();
    for word in ["xylophone", "marimba", "glockenspiel", "celesta"] {
        assert!(!on_disk(&data, word.as_bytes()), "{word} is readable on disk");
    }
    assert_eq!(std::fs::read_dir(data.join("files")).unwrap().count(), 1);

    until("nothing is left", || async { ana.ticket(ticket).await["entries"].as_array()?.is_empty().then_some(()) }).await;
    until("the file is gone", || async { (std::fs::read_dir(data.join("files")).unwrap().count() == 0).then_some(()) })
        .await;
    until("the name is gone", || async { ana.ticket(ticket).await["contact"].is_null().then_some(()) }).await;
    until("every key is gone", || async {
        std::fs::read(data.join("keyring")).unwrap().iter().all(|byte| *byte == 0).then_some(())
    })
    .await;
}
