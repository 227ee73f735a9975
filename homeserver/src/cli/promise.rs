//! What is kept, what is gone: `retention prove`, `erase`, `backup`, `restore`, `keyring`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use config::{Config, Span};
use homeserver::clock::Clock;
use homeserver::control::{Order, PromiseOrder, Target};
use homeserver::prove::What;
use homeserver::{backup, root_key, start, workers};
use journal::RootKey;
use serde_json::{Value, json};

use super::moment::rfc3339;

/// What `retention prove` looks for: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Question {
    /// An event, by its id ($…). Values that only name the id (what followed it) are counted apart.
    #[arg(long)]
    event: Option<String>,
    /// A file, by its mxc:// URI.
    #[arg(long)]
    media: Option<String>,
    /// A text, in messages, names, account data and inside uploaded files. End-to-end encrypted words are not found: only their
    /// sender's and receivers' devices can read them.
    #[arg(long)]
    text: Option<String>,
}

impl Question {
    fn what(self) -> anyhow::Result<What> {
        Ok(match self {
            Self { event: Some(event), .. } => What::Event(event),
            Self { media: Some(media), .. } => What::Media(media),
            Self { text: Some(text), .. } => What::Text(text),
            Self { .. } => bail!("say what to look for: --event, --media or --text"),
        })
    }
}

/// `vestibule retention prove`
#[derive(Debug, Args)]
pub struct Prove {
    #[command(flatten)]
    question: Question,
    /// A backup to look through as well. May be given several times.
    #[arg(long = "backup")]
    backups: Vec<PathBuf>,
}

/// `vestibule erase`
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Erase {
    /// A user: logged out, with all rooms of two, everything they said elsewhere, and their files. A hash is kept, so that the id is
    /// never given out again.
    #[arg(long)]
    user: Option<String>,
    /// A room, with everything in it.
    #[arg(long)]
    room: Option<String>,
}

/// `vestibule keyring`
#[derive(Debug, Subcommand)]
pub enum KeyringCommand {
    /// Make a new root key and wrap the keyring by it; the old key opens nothing from then on. Where the old one came from the file
    /// `server.root_key`, the new one takes its place. Copy it to where you kept the old one.
    Rotate {
        /// Write the new key to this file instead: for root keys that come from the environment or from systemd's credentials.
        #[arg(long)]
        to: Option<PathBuf>,
    },
}

impl TryFrom<Prove> for Order {
    type Error = anyhow::Error;

    fn try_from(prove: Prove) -> anyhow::Result<Self> {
        let backups = prove.backups.iter().map(|path| absolute(path)).collect::<anyhow::Result<_>>()?;
        Ok(Self::Promise(PromiseOrder::Prove { what: prove.question.what()?, backups }))
    }
}

impl TryFrom<Erase> for Order {
    type Error = anyhow::Error;

    fn try_from(erase: Erase) -> anyhow::Result<Self> {
        Ok(Self::Promise(PromiseOrder::Erase(match erase {
            Erase { user: Some(user), .. } => Target::User(user),
            Erase { room: Some(room), .. } => Target::Room(room),
            Erase { .. } => bail!("say what to erase: --user or --room"),
        })))
    }
}

impl TryFrom<KeyringCommand> for Order {
    type Error = anyhow::Error;

    fn try_from(KeyringCommand::Rotate { to }: KeyringCommand) -> anyhow::Result<Self> {
        let to = to.map(|path| absolute(&path)).transpose()?;
        Ok(Self::Promise(PromiseOrder::RotateRootKey { to }))
    }
}

/// `vestibule backup`
pub fn backup_order(folder: &Path) -> anyhow::Result<Order> {
    Ok(Order::Promise(PromiseOrder::Backup { folder: absolute(folder)? }))
}

/// The running server has another working directory.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}

/// `vestibule restore`: without a server. What has expired since the backup is erased before this answers.
pub fn restore(config: Config, folder: &Path, json: bool, given: Option<RootKey>) -> anyhow::Result<()> {
    let progress = |line: String| eprintln!("{line}");
    let silent = |_: String| ();
    let key = match &given {
        Some(root_key) => root_key.clone(),
        None => root_key::read(&config.server.root_key)?,
    };
    let about = backup::restore(&config, &key, folder, if json { &silent } else { &progress })?;
    crate::runtime()?.block_on(async {
        let app = start::open(config, Clock::system(), given).await?;
        let erased = workers::erasure::sweep(&app).await;
        let swept = workers::expiry::sweep(&app).await.and(erased.map(drop));
        app.end();
        app.tasks.wait().await;
        app.journal.close().context("the journal did not close cleanly")?;
        swept.map_err(|error| anyhow::anyhow!(error.sentence()))
    })?;
    if json {
        println!("{}", json!({ "restored": about }));
    } else {
        println!(
            "restored as of {}: {} files, {} MB; what has expired since is gone",
            rfc3339(about.made.as_ms()),
            about.files,
            about.bytes / 1_000_000
        );
    }
    Ok(())
}

/// The answer for a person.
pub fn for_people(order: &PromiseOrder, answer: &Value) -> String {
    match order {
        PromiseOrder::Prove { .. } => proof(answer),
        PromiseOrder::Erase(Target::User(id) | Target::Room(id)) => format!(
            "{id} is erased, with all that hung on it, and gone from the journal's files. Where a room lives on, the id of a user \
             who was in it stays in its list of members, as somebody who has left, and beside what they set of its state. Backups \
             made before still hold what lasts (names, membership); run `vestibule backup` again.\n"
        ),
        PromiseOrder::Backup { folder } => {
            let megabytes = |what: &str| answer[what].as_u64().unwrap_or_default() / 1_000_000;
            let bucket = answer["bucket"].as_str();
            format!(
                "{}: {} files, {} MB, of which {} MB were copied now\n{}",
                folder.display(),
                answer["files"],
                megabytes("bytes"),
                megabytes("copied"),
                bucket.map_or_else(String::new, |uri| format!("uploaded files are not in it: they stay in {uri}\n"))
            )
        }
        PromiseOrder::RotateRootKey { .. } => format!(
            "the new root key is in {}; keep a copy apart from copies of the data folder. The old one opens nothing any more, except \
             backups made before: run `vestibule backup` again.\n",
            answer["root_key"].as_str().unwrap_or_default()
        ),
    }
}

/// Whether the answer to a question is "no": the process then ends with status 2.
pub fn is_refuted(order: &Order, answer: &Value) -> bool {
    matches!(order, Order::Promise(PromiseOrder::Prove { .. })) && answer["gone"] != true
}

fn proof(answer: &Value) -> String {
    let mut lines = format!(
        "{} files with {} bytes were read; {} sealed values opened with {} keys; {} uploaded files opened, {} are noise\n",
        answer["files"], answer["bytes"], answer["values"], answer["keys"], answer["media_opened"], answer["media_noise"]
    );
    if answer["mentions"].as_u64().unwrap_or_default() > 0 {
        lines += &format!("{} values name it without holding it\n", answer["mentions"]);
    }
    for place in answer["places"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines += &format!("looked through {place}\n");
    }
    if answer["gone"] == true {
        return lines
            + "GONE: it is in none of these places; backups that were not named, and copies elsewhere, were not looked at\n";
    }
    for found in answer["found"].as_array().into_iter().flatten() {
        let file = found["file"].as_str().unwrap_or_default();
        let how = match found["how"].as_str() {
            Some("open") => "in the open",
            Some("media") => "in an uploaded file",
            _ => "in a sealed value",
        };
        let until = match found["until"].as_u64() {
            Some(until) => format!(", whose key is destroyed at {}", rfc3339(until)),
            None => String::new(),
        };
        lines += &format!("found {how}: {file}{until}\n");
    }
    lines + &format!("THERE: found {} times\n", answer["times"])
}

/// What `retention status` says.
pub fn status(answer: &Value) -> String {
    let span = |value: &Value| Span::from_ms(value.as_u64().unwrap_or_default()).to_string();
    let kilobytes = |value: &Value| value.as_u64().unwrap_or_default().div_ceil(1_000);
    let moment = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), rfc3339);
    let mut lines = format!(
        "messages and files live {}, keys are per {}\n{} files with {} kB; {} kB of what lasts\n",
        span(&answer["lifetime_ms"]),
        span(&answer["slot_ms"]),
        answer["files"],
        kilobytes(&answer["file_bytes"]),
        kilobytes(&answer["lasting_bytes"])
    );
    for class in answer["classes"].as_array().into_iter().flatten() {
        lines += &format!(
            "class {} ({}): lifetime {}, {} keys, {} kB; next key destroyed at {}, last at {}\n",
            class["class"],
            class["what"].as_str().unwrap_or_default(),
            span(&class["lifetime_ms"]),
            class["epochs"],
            kilobytes(&class["bytes"]),
            moment(&class["next_key_destroyed_at"]),
            moment(&class["last_key_destroyed_at"])
        );
    }
    if let Some(next) = answer["next_erasure_at"].as_u64() {
        lines += &format!("the next participants are erased at {}\n", rfc3339(next));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::proof;

    #[test]
    fn a_proof_says_where_it_looked() {
        let answer = json!({ "gone": true, "places": ["/srv/data", "s3://bucket/prefix"], "files": 3 });
        let told = proof(&answer);
        assert!(
            told.contains("looked through /srv/data\nlooked through s3://bucket/prefix\nGONE: it is in none of these"),
            "{told}"
        );
    }
}
