//! Stored filters ([spec v1.19, § Filtering](https://spec.matrix.org/v1.19/client-server-api/#filtering)).

use ruma::UserId;
use serde_json::value::RawValue;

use super::FILTERS_MAX;
use crate::{Cx, Decided, Decision, Draft, Reject, Stop, tables};

/// Stores a filter and answers its id. The same filter has the same id.
///
/// # Errors
/// `M_FORBIDDEN` past 200 filters.
pub fn put_filter(cx: &Cx<'_>, user_id: &UserId, filter: &RawValue) -> Decided<String> {
    let id =
        cx.name(&format!("filter {}", filter.get())).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = (cx.user(user_id), cx.name(&id));
    if tables::FILTERS.exists(cx.view, &key)? {
        return Ok(Decision::Done(id));
    }
    if tables::FILTERS.count(cx.view, &(key.0,))? >= FILTERS_MAX {
        return Err(Reject::forbidden("you have 200 filters; use one of them, or send the filter in the request").into());
    }
    let mut draft = Draft::new(*cx);
    tables::FILTERS.put(&mut draft.batch, &key, &filter.to_owned());
    Ok(draft.commit(id))
}

/// The filter of that id.
///
/// # Errors
/// `M_NOT_FOUND` when there is none.
pub fn filter(cx: &Cx<'_>, user_id: &UserId, id: &str) -> Result<Box<RawValue>, Stop> {
    let row = tables::FILTERS.get(cx.view, &(cx.user(user_id), cx.name(id)))?;
    Ok(row.ok_or_else(|| Reject::not_found("you have no filter of this id"))?.value)
}
