//! The audit trail, and whether the server is well.

use engine::audit::{self, Actor, AuditRow, Position};
use engine::tables::Scope;
use engine::{Reject, Stop};
use http::Method;
use journal::Name;

use super::calls::{Call, Calls, Declared};
use super::page;
use super::types::{Audit, AuditEntry, Health, Nothing, PageQuery};
use crate::app::App;
use crate::http::ApiError;

/// These calls.
pub fn calls(calls: Calls) -> Calls {
    calls
        .call(
            Method::GET,
            "/audit",
            Declared {
                id: "audit",
                summary: "Who called this interface or signed in, and when.",
                scope: Some(Scope::Audit),
            },
            read_audit,
        )
        .call(
            Method::GET,
            "/health",
            Declared { id: "health", summary: "Whether the server can read its journal. Needs no key.", scope: None },
            health,
        )
}

fn entry(row: AuditRow) -> AuditEntry {
    let AuditRow { at, actor, action, objects, status } = row;
    let (by, id) = match actor {
        Actor::Key(id) => ("key", Some(id)),
        Actor::Operator => ("operator", None),
        Actor::User(user_id) => ("user", Some(user_id.to_string())),
    };
    AuditEntry { at: at.as_ms(), by: by.to_owned(), id, action, objects, status }
}

async fn read_audit(app: App, call: Call<Nothing, PageQuery>) -> Result<Audit, ApiError> {
    let after = call.query.after.as_deref().map(parse_position).transpose()?;
    let limit = page(None, call.query.limit).limit;
    let (rows, next) = app.read(|cx| Ok(audit::entries(cx, after, limit)?))?;
    Ok(Audit { items: rows.into_iter().map(entry).collect(), next: next.map(write_position) })
}

fn write_position((at, entry): Position) -> String {
    entry.as_bytes().iter().fold(format!("{at}-"), |text, byte| format!("{text}{byte:02x}"))
}

fn parse_position(text: &str) -> Result<Position, Stop> {
    let wrong = || Reject::invalid_param("`after` is no `next` of a page before");
    let (at, entry) = text.split_once('-').ok_or_else(wrong)?;
    let entry = u128::from_str_radix(entry, 16).map_err(|_| wrong())?;
    Ok((at.parse().map_err(|_| wrong())?, Name::from_bytes(entry.to_be_bytes())))
}

async fn health(app: App, _: Call<Nothing, Nothing>) -> Result<Health, ApiError> {
    app.read(|cx| Ok(engine::tables::SERVER.get(cx.view, &(0,)).map(drop)?))?;
    Ok(Health { status: "ok".to_owned() })
}
