//! Proving that something is gone: every file of the data folder, and of backups, is searched as it is, and every sealed value in it,
//! deleted and replaced ones too, is opened with every key that exists and searched then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use engine::media::FileKey;
use engine::tables::{KeptMediaRow, MediaRow};
use journal::rocks::RocksJournal;
use journal::{ClassTable, Epoch, Timestamp, Trace, Tracer, log_records};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::media::seal::{CHUNK_BYTES, Chunks, last_chunk, sealed_range};

/// Places that one report names; more are counted only.
const FOUND_MAX: usize = 100;

/// Bytes of a file searched at once where it need not be held whole.
const WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// An event, by its id.
    Event(String),
    /// A file, by its `mxc://` URI.
    Media(String),
    /// Any text.
    Text(String),
}

/// Where else, besides the data folder.
#[derive(Clone, Debug)]
pub struct Places {
    /// The data folder.
    pub data: PathBuf,
    /// The folder for files, which may be elsewhere.
    pub media: PathBuf,
    /// Backups.
    pub backups: Vec<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing was found.
    pub gone: bool,
    /// Keys that exist.
    pub keys: usize,
    /// Files that were read.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Sealed values that a key opened, each copy counted.
    pub values: usize,
    /// Uploaded files that were opened.
    pub media_opened: usize,
    /// Uploaded files that no key opens any more.
    pub media_noise: usize,
    /// Values that name the event or the file without holding it: what followed it, what it was the end of (D6).
    pub mentions: usize,
    /// How often it was found.
    pub times: usize,
    /// Where; a hundred at most.
    pub found: Vec<Found>,
}

/// A place where it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The file.
    pub file: PathBuf,
    /// In the open, in a sealed value, or in an uploaded file.
    pub how: How,
    /// When the key that opened it is destroyed; absent for what lasts, and for what is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Without any key.
    Open,
    /// In a value that a key opened.
    Sealed,
    /// In an uploaded file that a key opened.
    Media,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// A file.
    #[error("{0} cannot be read: {1}")]
    File(PathBuf, String),
    /// What is looked for.
    #[error("{0}")]
    Question(&'static str),
}

/// Looks everywhere. It blocks for as long as it takes to read all of it.
///
/// # Errors
/// [`ProveError`] for a folder that cannot be read, or a question that finds everything.
pub fn prove(journal: &RocksJournal, what: &What, places: &Places, progress: &dyn Fn(String)) -> Result<Report, ProveError> {
    let keyring = journal.sealer().keyring();
    let mut search = Search {
        needle: Needle::new(what)?,
        tracer: keyring.tracer(),
        classes: journal.sealer().classes().clone(),
        keys: BTreeMap::new(),
        report: Report::default(),
    };
    search.report.keys = search.tracer.keys();
    let mut roots = vec![places.data.clone()];
    if !places.media.starts_with(&places.data) {
        roots.push(places.media.clone());
    }
    roots.extend(places.backups.iter().cloned());
    let mut objects = Vec::new();
    for root in &roots {
        progress(format!("looking through {}", root.display()));
        let mut seen = BTreeSet::new();
        // Files come and go while a server runs: until no new one has come.
        loop {
            let mut new: Vec<_> = files(root)?.into_iter().filter(|file| !seen.contains(file)).collect();
            if new.is_empty() {
                break;
            }
            new.sort();
            for file in new {
                if is_object(&file) {
                    objects.push(file.clone());
                }
                search.file(&file)?;
                seen.insert(file);
                if search.report.files.is_multiple_of(100) {
                    progress(format!("{} files, {} sealed values opened", search.report.files, search.report.values));
                }
            }
        }
    }
    progress(format!("opening {} uploaded files", objects.len()));
    for object in &objects {
        search.object(object)?;
    }
    search.report.gone = search.report.times == 0;
    Ok(search.report)
}

/// What to look for, in the forms in which it may stand.
struct Needle {
    what: What,
    /// In the open.
    forms: Vec<Vec<u8>>,
}

impl Needle {
    fn new(what: &What) -> Result<Self, ProveError> {
        let text = match what {
            What::Event(id) if !id.starts_with('$') => return Err(ProveError::Question("an event id starts with $")),
            What::Media(uri) => uri.rsplit('/').next().unwrap_or_default(),
            What::Event(text) | What::Text(text) => text.as_str(),
        };
        if text.len() < 4 {
            return Err(ProveError::Question("four characters at least: fewer are found in any noise"));
        }
        let escaped = Value::from(text).to_string();
        let escaped = escaped.trim_matches('"').as_bytes().to_vec();
        let mut forms = vec![text.as_bytes().to_vec()];
        if escaped != forms[0] {
            forms.push(escaped);
        }
        Ok(Self { what: what.clone(), forms })
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(bytes, form))
    }

    fn longest(&self) -> usize {
        self.forms.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether an opened value holds what is looked for, or only names it.
    fn judge(&self, value: &[u8]) -> Option<bool> {
        if !self.is_in(value) {
            return None;
        }
        Some(match &self.what {
            What::Text(_) => true,
            What::Event(id) => first_json::<Value>(value).is_some_and(|value| holds(&value, "event_id", id, "content")),
            What::Media(uri) => {
                let id = uri.rsplit('/').next().unwrap_or_default();
                first_json::<Value>(value).is_some_and(|value| holds(&value, "media_id", id, "owner"))
            }
        })
    }
}

/// Whether some object in `value` has `key` = `id` and something under `beside`.
fn holds(value: &Value, key: &str, id: &str, beside: &str) -> bool {
    match value {
        Value::Object(fields) => {
            fields.get(key).and_then(Value::as_str) == Some(id) && fields.contains_key(beside)
                || fields.values().any(|value| holds(value, key, id, beside))
        }
        Value::Array(values) => values.iter().any(|value| holds(value, key, id, beside)),
        _ => false,
    }
}

/// The value that the bytes begin with; what follows is noise.
fn first_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::Deserializer::from_slice(bytes).into_iter().next()?.ok()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return false };
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|bytes| bytes.iter().position(|byte| byte == first)) {
        from += at + 1;
        if bytes.get(from..).is_some_and(|bytes| bytes.starts_with(rest)) {
            return true;
        }
    }
    false
}

struct Search {
    needle: Needle,
    tracer: Tracer,
    classes: ClassTable,
    /// Keys of uploaded files that some value told, by object, with the file's size and the epoch of the value.
    keys: BTreeMap<String, (FileKey, u64, Option<Epoch>)>,
    report: Report,
}

impl Search {
    fn file(&mut self, path: &Path) -> Result<(), ProveError> {
        let failed = |error: std::io::Error| ProveError::File(path.to_owned(), error.to_string());
        let mut file = match File::open(path) {
            // It has gone meanwhile, and what was in it is in another one.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        self.report.files += 1;
        if is_object(path) {
            return self.windows(path, &mut file).map_err(failed);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        self.report.bytes += bytes.len() as u64;
        if self.needle.is_in(&bytes) {
            self.found(path, How::Open, None);
        }
        // The log cuts values into blocks.
        if path.extension().is_some_and(|extension| extension == "log") {
            bytes = log_records(&bytes);
            if self.needle.is_in(&bytes) {
                self.found(path, How::Open, None);
            }
        }
        let (mut holding, mut mentions) = (Vec::new(), 0);
        let (needle, keys) = (&self.needle, &mut self.keys);
        let mut each = |trace: Trace<'_>| {
            match needle.judge(trace.value) {
                Some(true) => holding.push(trace.epoch),
                Some(false) => mentions += 1,
                None => {}
            }
            note_file_key(keys, trace);
        };
        let opened =
            self.tracer.trace(&bytes, &mut each).map_err(|error| ProveError::File(path.to_owned(), error.to_string()))?;
        self.report.values += opened;
        self.report.mentions += mentions;
        for epoch in holding {
            self.found(path, How::Sealed, epoch);
        }
        Ok(())
    }

    /// An uploaded file as it is, without holding it.
    fn windows(&mut self, path: &Path, file: &mut File) -> std::io::Result<()> {
        let (mut window, overlap) = (Vec::new(), self.needle.longest());
        loop {
            let kept = window.len().saturating_sub(overlap);
            window.drain(..kept);
            let read = file.by_ref().take(WINDOW_BYTES as u64).read_to_end(&mut window)?;
            self.report.bytes += read as u64;
            if read == 0 {
                return Ok(());
            }
            if self.needle.is_in(&window) {
                self.found(path, How::Open, None);
            }
        }
    }

    /// An uploaded file, opened if some value still has its key.
    fn object(&mut self, path: &Path) -> Result<(), ProveError> {
        let Some((key, size, epoch)) = object_name(path).and_then(|name| self.keys.get(&name)).cloned() else {
            self.report.media_noise += 1;
            return Ok(());
        };
        let Ok(bytes) = std::fs::File::open(path) else { return Ok(()) };
        self.report.media_opened += 1;
        if !matches!(self.needle.what, What::Text(_)) {
            return Ok(());
        }
        let (chunks, mut plain, overlap) = (Chunks::new(&key), Vec::new(), self.needle.longest());
        let mut reader = std::io::BufReader::with_capacity(CHUNK_BYTES, bytes);
        for number in 0..=last_chunk(size) {
            let range = sealed_range(size, number);
            let mut sealed = Vec::new();
            let read = reader.by_ref().take(range.end - range.start).read_to_end(&mut sealed);
            read.map_err(|error| ProveError::File(path.to_owned(), error.to_string()))?;
            let Ok(opened) = chunks.open(number, number == last_chunk(size), &sealed) else { break };
            let kept = plain.len().saturating_sub(overlap);
            plain.drain(..kept);
            plain.extend_from_slice(&opened);
            if self.needle.is_in(&plain) {
                self.found(path, How::Media, epoch);
                break;
            }
        }
        Ok(())
    }

    fn found(&mut self, file: &Path, how: How, epoch: Option<Epoch>) {
        self.report.times += 1;
        if self.report.found.len() < FOUND_MAX {
            let until = epoch.map(|epoch| self.classes.ends_at(epoch));
            self.report.found.push(Found { file: file.to_owned(), how, until });
        }
    }
}

/// Keeps the key of an uploaded file, if the value is a file's row.
fn note_file_key(keys: &mut BTreeMap<String, (FileKey, u64, Option<Epoch>)>, trace: Trace<'_>) {
    if !trace.value.starts_with(b"{\"media") {
        return;
    }
    let kept = || first_json::<KeptMediaRow>(trace.value).map(|row| row.media);
    let file = first_json::<MediaRow>(trace.value).or_else(kept).and_then(|row| row.file);
    if let Some(file) = file {
        keys.insert(file.object, (file.key, file.size, trace.epoch));
    }
}

/// `slot/name` of an uploaded file.
fn object_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let slot = path.parent()?.file_name()?.to_str()?;
    Some(format!("{slot}/{name}"))
}

/// Whether the file is an uploaded one: in a folder named after its slot, or on its way in.
fn is_object(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    folder.is_some_and(|name| name == "incoming" || name.len() == 8 && u32::from_str_radix(name, 16).is_ok())
}

/// All files under `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ProveError> {
    let failed = |error: std::io::Error| ProveError::File(folder.to_owned(), error.to_string());
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
