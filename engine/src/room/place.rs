//! Places in lists that are made anew for each page: a number, good for some minutes, for the one question it was given for.

use crate::{Cx, Reject};

/// How long a place stays good; the specification asks for ten minutes at least.
const LIFETIME_MS: u64 = 900_000;

/// The place after `count` entries of the answer to `question`, as clients carry it.
///
/// `question` names everything that the answer depends on, so that a place is good for no other one.
pub(super) fn encode(cx: &Cx<'_>, question: &str, count: usize) -> String {
    let now = cx.now().as_ms();
    format!("{count:x}_{now:x}_{:032x}", proof(cx, question, count, now))
}

/// As clients brought it back.
///
/// # Errors
/// `M_INVALID_PARAM` for what was not given for this question, or too long ago.
pub(super) fn decode(cx: &Cx<'_>, question: &str, text: &str) -> Result<usize, Reject> {
    let invalid = || Reject::invalid_param("this is not a place in this list (any more): start without it");
    let mut parts = text.splitn(3, '_');
    let number = |text: Option<&str>| text.and_then(|text| u64::from_str_radix(text, 16).ok());
    let count = number(parts.next()).and_then(|count| usize::try_from(count).ok()).ok_or_else(invalid)?;
    let made = number(parts.next()).ok_or_else(invalid)?;
    let proven = parts.next().is_some_and(|given| given == format!("{:032x}", proof(cx, question, count, made)));
    let fresh = cx.now().as_ms().saturating_sub(made) < LIFETIME_MS;
    if proven && fresh { Ok(count) } else { Err(invalid()) }
}

/// Nobody makes such a number without the key that names are hashed with.
fn proof(cx: &Cx<'_>, question: &str, count: usize, made: u64) -> u128 {
    u128::from_be_bytes(*cx.name(&format!("place {count:x} {made:x} {question}")).as_bytes())
}
