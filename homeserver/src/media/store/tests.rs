use std::time::Duration;

use futures_util::StreamExt as _;
use journal::Retention;

use super::*;

const LIFETIME_MS: u64 = 20_000;
const SLOT_MS: u64 = 5_000;

struct Rig {
    folder: tempfile::TempDir,
    clock: Clock,
    tasks: Tasks,
    store: MediaStore,
}

async fn rig() -> Rig {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, tasks) = (Clock::system(), Tasks::default());
    let store = open(&folder, &clock, &tasks).await;
    Rig { folder, clock, tasks, store }
}

async fn open(folder: &tempfile::TempDir, clock: &Clock, tasks: &Tasks) -> MediaStore {
    let classes = ClassTable::new(SLOT_MS, vec![Retention { lifetime_ms: LIFETIME_MS }; 6]);
    let place = Place::folder(folder.path()).expect("a place");
    MediaStore::open(place, classes, clock.clone(), Entropy, tasks.clone()).await.expect("opens")
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at % 251).expect("small")).collect()
}

async fn upload(store: &MediaStore, content: &[u8], piece: usize) -> Finished {
    let mut upload = store.begin(ruma::user_id!("@ada:example.org")).await.expect("begins");
    for piece in content.chunks(piece.max(1)) {
        upload.write(piece).await.expect("writes");
    }
    upload.finish().await.expect("finishes")
}

async fn read(store: &MediaStore, file: &StoredFile, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
    let never = Timestamp::NEVER;
    store
        .read(file, range, never)
        .try_fold(Vec::new(), |mut all, bytes| async move {
            all.extend_from_slice(&bytes);
            Ok(all)
        })
        .await
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn every_size_and_every_range_reads_as_written() {
    let Rig { store, .. } = rig().await;
    for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES + 17, 3 * 1024 * 1024] {
        let content = content(size);
        let finished = upload(&store, &content, 70_001).await;
        let file = finished.file(None, None);
        finished.keep();
        let size = size as u64;
        assert_eq!(file.size, size);
        assert!(read(&store, &file, 0..size).await.expect("reads") == content, "{size}");
        for range in [0..size.min(1), size / 2..size, size.saturating_sub(1)..size, size / 3..size / 2] {
            let expected =
                &content[usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small")];
            assert!(read(&store, &file, range.clone()).await.expect("reads") == expected, "{size} {range:?}");
        }
    }
}

#[tokio::test]
async fn the_disk_holds_no_plaintext_and_a_changed_byte_is_noticed() {
    let Rig { folder, store, .. } = rig().await;
    let canary = b"a canary in a mine that nobody should hear singing";
    let finished = upload(&store, &canary.repeat(5_000), 4_096).await;
    let file = finished.file(None, None);
    finished.keep();
    let [path] = &files(folder.path())[..] else { panic!("one file") };
    let mut bytes = std::fs::read(path).expect("reads");
    assert!(!bytes.windows(12).any(|window| window == &canary[..12]));
    bytes[100_000] ^= 1;
    std::fs::write(path, &bytes).expect("writes");
    assert!(matches!(read(&store, &file, 0..file.size).await, Err(StoreError::Seal(_))));
    bytes[100_000] ^= 1;
    bytes.truncate(seal_boundary(2));
    std::fs::write(path, &bytes).expect("writes");
    assert!(read(&store, &file, 0..file.size).await.is_err(), "a file cut short");
}

fn seal_boundary(chunks: usize) -> usize {
    chunks * crate::media::seal::SEALED_BYTES
}

#[tokio::test]
async fn what_is_interrupted_or_refused_leaves_nothing() {
    let Rig { folder, clock, tasks, store } = rig().await;
    let mut interrupted = store.begin(ruma::user_id!("@ada:example.org")).await.expect("begins");
    interrupted.write(&content(3 * 1024 * 1024)).await.expect("writes");
    assert_eq!(files(folder.path()).len(), 1, "it was on its way");
    drop(interrupted);
    drop(upload(&store, b"refused", 100).await);
    tasks.wait().await;
    assert_eq!(files(folder.path()), Vec::<std::path::PathBuf>::new());

    // Killed in the middle: the next start clears it away.
    let mut killed = store.begin(ruma::user_id!("@ada:example.org")).await.expect("begins");
    killed.write(&content(3 * 1024 * 1024)).await.expect("writes");
    std::mem::forget(killed);
    assert_eq!(files(folder.path()).len(), 1);
    open(&folder, &clock, &tasks).await;
    assert_eq!(files(folder.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_sweep_removes_whole_slots_and_a_download_ends_at_the_moment() {
    let Rig { folder, clock, store, .. } = rig().await;
    let finished = upload(&store, &content(3 * 1024 * 1024), 100_000).await;
    let (file, expires) = (finished.file(None, None), finished.completed.plus_ms(LIFETIME_MS));
    finished.keep();
    let mut download = store.read(&file, 0..file.size, expires);
    assert!(download.next().await.expect("a part").is_ok());
    clock.advance(Duration::from_millis(LIFETIME_MS));
    assert!(matches!(download.next().await, Some(Err(StoreError::Expired))));
    clock.advance(Duration::from_millis(SLOT_MS));
    let later = upload(&store, b"later", 100).await;
    later.keep();
    assert_eq!(store.sweep(clock.now(), |_| false).await.expect("sweeps"), 1);
    assert_eq!(files(folder.path()).len(), 1, "the later one stays");
    assert!(read(&store, &file, 0..1).await.is_err());
}
