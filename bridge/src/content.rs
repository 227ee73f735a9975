//! What a decrypted event says, in words a helpdesk understands; and what support says, as an event.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::store::{PostBody, PostedFile, ReplyBody};

/// The longest text passed on, in characters. A Matrix event has at most 64 KiB; this keeps a page readable.
const TEXT_CHARS_MAX: usize = 20_000;
/// The longest file name passed on, in characters.
const NAME_CHARS_MAX: usize = 120;

#[derive(Deserialize)]
struct Decrypted {
    #[serde(rename = "type")]
    event_type: String,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    msgtype: Option<String>,
    body: Option<String>,
    filename: Option<String>,
    file: Option<Box<RawValue>>,
    info: Option<Info>,
    #[serde(rename = "m.new_content")]
    new_content: Option<NewContent>,
}

#[derive(Deserialize)]
struct Info {
    mimetype: Option<String>,
    size: Option<u64>,
}

#[derive(Deserialize)]
struct NewContent {
    body: String,
}

#[derive(Deserialize)]
struct File {
    url: String,
}

/// What `name` says in a decrypted event; nothing if it isn't something an agent reads (reactions, verification, …).
pub fn read(json: &str, name: &str) -> Option<PostBody> {
    let name = name.to_owned();
    let event: Decrypted = serde_json::from_str(json).ok()?;
    if event.event_type != "m.room.message" {
        return None;
    }
    let content = event.content;
    let body = content.body.unwrap_or_default();
    match content.msgtype.as_deref()? {
        "m.key.verification.request" => None,
        "m.image" | "m.file" | "m.video" | "m.audio" => {
            let Some(encryption) = content.file else {
                return Some(PostBody::Note { text: format!("{name} sent a file that is not encrypted; it is not shown.") });
            };
            let url = serde_json::from_str::<File>(encryption.get()).ok()?.url;
            let file_name = content.filename.as_deref().unwrap_or(&body);
            let info = content.info.unwrap_or(Info { mimetype: None, size: None });
            Some(PostBody::File {
                name,
                file: PostedFile {
                    name: shorten(file_name, NAME_CHARS_MAX),
                    media_type: info.mimetype.unwrap_or_else(|| "application/octet-stream".to_owned()),
                    size_bytes: info.size,
                    url,
                    encryption: encryption.get().to_owned(),
                },
            })
        }
        "m.emote" => Some(PostBody::Message { text: shorten(&format!("* {name} {body}"), TEXT_CHARS_MAX), name }),
        _ => {
            let text = match content.new_content {
                Some(edited) => format!("Corrected: {}", edited.body),
                None => body,
            };
            Some(PostBody::Message { name, text: shorten(&text, TEXT_CHARS_MAX) })
        }
    }
}

fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The content of the `m.room.message` that says `body`; a receipt is not a message.
///
/// The agent's name is in `vestibule.agent.name`, and as a per-message profile (MSC4144) for clients that know it.
/// A closing notice has `vestibule.support.state = "closed"`.
pub fn write(body: &ReplyBody) -> Option<Value> {
    match body {
        ReplyBody::Message { agent, text } => Some(json!({
            "msgtype": "m.text", "body": text,
            "vestibule.agent": {"name": agent},
            "com.beeper.per_message_profile": {"id": agent, "displayname": agent},
        })),
        ReplyBody::Closed { agent } => {
            let sentence = match agent {
                Some(agent) => format!("{agent} has ended this chat."),
                None => "This chat has ended.".to_owned(),
            };
            let mut content = json!({
                "msgtype": "m.notice", "body": sentence, "vestibule.support": {"state": "closed"},
            });
            if let Some(agent) = agent {
                content["vestibule.agent"] = json!({ "name": agent });
            }
            Some(content)
        }
        ReplyBody::Notice { text } => {
            Some(json!({"msgtype": "m.notice", "body": text, "vestibule.support": {"state": "notice"}}))
        }
        ReplyBody::Seen { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(content: &Value) -> Option<PostBody> {
        read(&json!({"type": "m.room.message", "content": content}).to_string(), "Ada")
    }

    fn text(content: &Value) -> String {
        match message(content) {
            Some(PostBody::Message { text, .. }) => text,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn texts_of_every_kind_are_read() {
        assert_eq!(text(&json!({"msgtype": "m.text", "body": "Hello\nthere"})), "Hello\nthere");
        assert_eq!(text(&json!({"msgtype": "m.emote", "body": "waves"})), "* Ada waves");
        assert_eq!(text(&json!({"msgtype": "org.example.new", "body": "what is this"})), "what is this");
        let edit = json!({"msgtype": "m.text", "body": "* two", "m.new_content": {"msgtype": "m.text", "body": "two"}});
        assert_eq!(text(&edit), "Corrected: two");
        assert_eq!(text(&json!({"msgtype": "m.text", "body": "é".repeat(30_000)})).chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn a_file_keeps_its_keys_and_an_unencrypted_one_is_not_shown() {
        let file = json!({"url": "mxc://x/1", "v": "v2", "key": {"k": "…"}, "iv": "i", "hashes": {"sha256": "h"}});
        let body = message(&json!({"msgtype": "m.image", "body": "a caption", "filename": "scan.png",
            "file": file, "info": {"mimetype": "image/png", "size": 12}}));
        let Some(PostBody::File { file: posted, .. }) = body else { unreachable!() };
        assert_eq!((posted.name.as_str(), posted.url.as_str()), ("scan.png", "mxc://x/1"));
        assert_eq!(serde_json::from_str::<Value>(&posted.encryption).ok(), Some(file));
        let plain = message(&json!({"msgtype": "m.file", "body": "a.txt", "url": "mxc://x/2"}));
        assert!(matches!(plain, Some(PostBody::Note { .. })));
    }

    #[test]
    fn what_no_agent_reads_is_left_out() {
        assert!(message(&json!({"msgtype": "m.key.verification.request", "body": "v"})).is_none());
        assert!(message(&json!({})).is_none());
        assert!(read(&json!({"type": "m.reaction", "content": {}}).to_string(), "Ada").is_none());
    }

    #[test]
    fn the_agents_name_travels_with_the_message() {
        let reply = ReplyBody::Message { agent: "Ana".to_owned(), text: "Hello".to_owned() };
        let content = write(&reply).unwrap_or_default();
        assert_eq!(content["body"], "Hello");
        assert_eq!(content["vestibule.agent"]["name"], "Ana");
        let closed = write(&ReplyBody::Closed { agent: None }).unwrap_or_default();
        assert_eq!(closed["vestibule.support"]["state"], "closed");
    }
}
