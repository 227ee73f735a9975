//! What sealing files costs, with and without, and what a newcomer's identity does.
//!
//! `cargo run --release --example costs [MiB]`, in a folder on the disk that is to be measured. One file, in the chunks that it is
//! stored in; nothing waits for the disk, with seals or without. Medians.
#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement stops at the first surprise, and says what it found"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use engine::media::FileKey;
use homeserver::entropy::Entropy;
use homeserver::media::seal::{CHUNK_BYTES, Chunks, SEALED_BYTES, last_chunk};
use identity::Identity;

const MIB: usize = 1024 * 1024;

/// How often each is measured.
const ROUNDS: usize = 9;

/// Identities made in one measurement.
const NEWCOMERS: u32 = 100;

fn main() {
    let mib: u32 = std::env::args().nth(1).map_or(64, |mib| mib.parse().expect("a number of MiB"));
    let mut one = vec![0; MIB];
    Entropy.fill(&mut one);
    let plain = one.repeat(usize::try_from(mib).expect("fits"));
    files(mib, &plain);

    let seconds = median(|| {
        for _ in 0..NEWCOMERS {
            black_box(Identity::make("@newcomer:example.org").expect("an identity"));
        }
    });
    println!("a newcomer's identity: {:.0} µs", seconds * 1e6 / f64::from(NEWCOMERS));
}

fn files(mib: u32, plain: &[u8]) {
    let folder = tempfile::tempdir_in(".").expect("a folder");
    let path = folder.path().join("file");
    let chunks = Chunks::new(&FileKey::new(Entropy.bytes()));
    let last = last_chunk(u64::try_from(plain.len()).expect("fits"));
    let numbered = || (0_u64..).zip(plain.chunks(CHUNK_BYTES));
    let seal = |(number, chunk): (u64, &[u8])| {
        let mut sealed = Vec::new();
        chunks.seal(number, number == last, chunk, &mut sealed).expect("seals");
        sealed
    };
    let open = |number: u64, sealed: &[u8]| {
        let mut opened = Vec::new();
        chunks.open(number, number == last, sealed, &mut opened).expect("opens");
        opened
    };
    let sealed: Vec<Vec<u8>> = numbered().map(seal).collect();
    let rate = |what: &str, run: &dyn Fn()| println!("{what}: {:.0} MiB/s", f64::from(mib) / median(run));

    rate("sealed, in memory", &|| numbered().for_each(|chunk| drop(black_box(seal(chunk)))));
    rate("opened, in memory", &|| (0_u64..).zip(&sealed).for_each(|(number, chunk)| drop(black_box(open(number, chunk)))));
    rate("written without sealing", &|| write(&path, plain.chunks(CHUNK_BYTES)));
    rate("read without opening", &|| read(&path, CHUNK_BYTES, |_, chunk| _ = black_box(chunk)));
    rate("sealed and written", &|| write(&path, numbered().map(seal)));
    rate("read and opened", &|| read(&path, SEALED_BYTES, |number, chunk| drop(black_box(open(number, chunk)))));
}

/// Seconds.
fn median(run: impl Fn()) -> f64 {
    let mut seconds: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        run();
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}

fn write(path: &Path, chunks: impl Iterator<Item = impl AsRef<[u8]>>) {
    let mut file = File::create(path).expect("a file");
    for chunk in chunks {
        file.write_all(chunk.as_ref()).expect("writes");
    }
}

fn read(path: &Path, size: usize, each: impl Fn(u64, &[u8])) {
    let mut file = File::open(path).expect("a file");
    let mut chunk = Vec::with_capacity(size);
    let size = u64::try_from(size).expect("fits");
    for number in 0.. {
        chunk.clear();
        if (&mut file).take(size).read_to_end(&mut chunk).expect("reads") == 0 {
            break;
        }
        each(number, &chunk);
    }
}
