//! Proving that something is gone: every file of the data folder and of backups, and every object of the bucket if files are in one,
//! is searched as it is, and every sealed value in it, deleted and replaced ones too, is opened with every key that exists and
//! searched then.

mod needle;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use engine::media::FileKey;
use engine::tables::{KeptMediaRow, MediaRow};
use journal::rocks::RocksJournal;
use journal::{ClassTable, Epoch, Timestamp, Trace, Tracer, log_records};
use serde::{Deserialize, Serialize};

use crate::media::seal::{Chunks, SEALED_BYTES, last_chunk};
use crate::media::{Home, MediaStore};
use needle::{Needle, Window, first_json};

/// Places that one report names; more are counted only.
const FOUND_MAX: usize = 100;

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
    /// The files, in a folder that may be elsewhere, or in a bucket.
    pub media: MediaStore,
    /// Backups.
    pub backups: Vec<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing was found.
    pub gone: bool,
    /// Where it was looked for, with all that is below: nothing is said of other places.
    pub places: Vec<PathBuf>,
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

/// Looks everywhere. It blocks for as long as it takes to read all of it; files in a bucket are waited for, so that it has to be a
/// thread that may.
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
    if let Home::Folder(folder) = places.media.home()
        && !folder.starts_with(&places.data)
    {
        roots.push(folder.clone());
    }
    roots.extend(places.backups.iter().cloned());
    let mut uploads = Vec::new();
    for root in &roots {
        progress(format!("looking through {}", root.display()));
        each_new(
            || files(root),
            |file| {
                if is_object(file, places) {
                    uploads.push(file.clone());
                    return Ok(());
                }
                search.file(file)?;
                search.tell(progress);
                Ok(())
            },
        )?;
    }
    // What opens them is in the files before.
    progress(format!("opening {} uploaded files", uploads.len()));
    for path in &uploads {
        match File::open(path) {
            // Expired meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            file => search.upload(path, file.map_err(|error| unread(path, error))?)?,
        }
        search.tell(progress);
    }
    if let Some(bucket) = places.media.bucket() {
        progress(format!("looking through {}", bucket.uri()));
        each_new(
            || bucket.objects().map_err(|error| unread(Path::new(bucket.uri()), error)),
            |(object, size)| {
                search.upload(&bucket.name(object), bucket.read(object, *size))?;
                search.tell(progress);
                Ok(())
            },
        )?;
    }
    search.report.places = roots;
    search.report.places.extend(places.media.bucket().map(|bucket| PathBuf::from(bucket.uri())));
    search.report.gone = search.report.times == 0;
    Ok(search.report)
}

/// Goes through what is listed, again and again until nothing new has come: files come and go while a server runs.
fn each_new<T: Ord>(
    list: impl Fn() -> Result<Vec<T>, ProveError>,
    mut each: impl FnMut(&T) -> Result<(), ProveError>,
) -> Result<(), ProveError> {
    let mut seen = BTreeSet::new();
    loop {
        let new: BTreeSet<T> = list()?.into_iter().filter(|item| !seen.contains(item)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for item in new {
            each(&item)?;
            seen.insert(item);
        }
    }
}

fn unread(path: &Path, error: impl std::fmt::Display) -> ProveError {
    ProveError::File(path.to_owned(), error.to_string())
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
        let mut file = match File::open(path) {
            // It has gone meanwhile, and what was in it is in another one.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(|error| unread(path, error))?,
        };
        self.report.files += 1;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| unread(path, error))?;
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
        let opened = self.tracer.trace(&bytes, &mut each).map_err(|error| unread(path, error))?;
        self.report.values += opened;
        self.report.mentions += mentions;
        for epoch in holding {
            self.found(path, How::Sealed, epoch);
        }
        Ok(())
    }

    /// An uploaded file, a chunk at a time: as it is, and opened if some value still has its key.
    fn upload(&mut self, path: &Path, mut sealed: impl Read) -> Result<(), ProveError> {
        self.report.files += 1;
        let known = object_name(path).and_then(|name| self.keys.get(&name)).cloned();
        match known {
            Some(_) => self.report.media_opened += 1,
            None => self.report.media_noise += 1,
        }
        // An id is nowhere in a file.
        let known = known.filter(|_| matches!(self.needle.what, What::Text(_)));
        let mut opening = known.map(|(key, size, epoch)| (Chunks::new(&key), last_chunk(size), epoch));
        let (mut open, mut plain) = (Window::default(), Window::default());
        for number in 0.. {
            let mut chunk = Vec::with_capacity(SEALED_BYTES);
            match sealed.by_ref().take(SEALED_BYTES as u64).read_to_end(&mut chunk) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                read => self.report.bytes += read.map_err(|error| unread(path, error))? as u64,
            }
            if open.shows(&self.needle, &chunk) {
                self.found(path, How::Open, None);
            }
            let Some((chunks, last, epoch)) = &opening else { continue };
            let mut bytes = Vec::new();
            match chunks.open(number, number == *last, &chunk, &mut bytes) {
                Ok(()) if !plain.shows(&self.needle, &bytes) => {}
                Ok(()) => {
                    self.found(path, How::Media, *epoch);
                    opening = None;
                }
                Err(_) => opening = None,
            }
        }
        Ok(())
    }

    fn tell(&self, progress: &dyn Fn(String)) {
        if self.report.files.is_multiple_of(100) {
            progress(format!("{} files, {} sealed values opened", self.report.files, self.report.values));
        }
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

/// Whether the file is an uploaded one: in a folder named after its slot, or on its way in, in the folder of files or a backup's. Others
/// may call a folder so too, after a date for one.
fn is_object(path: &Path, places: &Places) -> bool {
    let Some(folder) = path.parent() else { return false };
    let name = folder.file_name().and_then(|name| name.to_str());
    let is_slot = name.is_some_and(|name| name == "incoming" || name.len() == 8 && u32::from_str_radix(name, 16).is_ok());
    let is_home = |above: &Path| matches!(places.media.home(), Home::Folder(home) if home == above);
    is_slot && folder.parent().is_some_and(|above| is_home(above) || above.file_name() == Some("media".as_ref()))
}

/// All files under `folder`, those that links lead to among them.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ProveError> {
    let (mut found, mut entered, mut folders) = (Vec::new(), BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = match folder.canonicalize().and_then(|real| Ok((std::fs::read_dir(&folder)?, real))) {
            // It has gone meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            // A link may lead to a folder that it is in.
            Ok((_, real)) if !entered.insert(real.clone()) => continue,
            listed => listed.map_err(|error| unread(&folder, error))?.0,
        };
        for entry in entries {
            let path = entry.map_err(|error| unread(&folder, error))?.path();
            match std::fs::metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(unread(&path, error)),
                Ok(what) if what.is_dir() => folders.push(path),
                Ok(what) if what.is_file() => found.push(path),
                Ok(_) => {}
            }
        }
    }
    Ok(found)
}
