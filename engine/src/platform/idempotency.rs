//! Calls that may be repeated: the same idempotency key gets the same answer for an hour.
//!
//! An answer may hold a recovery key, which nobody but the platform keeps. So it is stored sealed under a key that comes with the
//! call; whoever has the disk and the root key, but not the call, has nothing.

use journal::Name;

use crate::{
    Cx, Decided, Decision, Draft, Reject, Stop, class,
    tables::{self, IdempotentAnswerRow},
};

/// How long an answer is kept.
pub const ANSWER_MS: u64 = crate::MINUTES_MS;

/// Which answer to which call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// The platform key's id.
    pub key: String,
    /// The idempotency key.
    pub idempotency_key: String,
    /// The call with its body, in any form.
    pub request: String,
}

impl Repeatable {
    fn place(&self, cx: &Cx<'_>) -> (Name, Name) {
        (cx.name(&self.key), cx.name(&format!("idempotency {}", self.idempotency_key)))
    }

    fn request(&self, cx: &Cx<'_>) -> Name {
        cx.name(&format!("request {}", self.request))
    }
}

/// What the call has been answered before, sealed.
///
/// # Errors
/// [`Reject::Conflict`] when it was another call.
pub fn answered(cx: &Cx<'_>, call: &Repeatable) -> Result<Option<Vec<u8>>, Stop> {
    let Some(row) = tables::IDEMPOTENT_ANSWERS.get(cx.view, &call.place(cx))? else { return Ok(None) };
    if row.value.request != call.request(cx) {
        return Err(Reject::Conflict("this idempotency key has been used for another request: take a new one".into()).into());
    }
    Ok(Some(row.value.answer))
}

/// Adds the sealed answer to what a call has decided; of two calls at once with one key, one commits.
///
/// # Errors
/// None of its own.
pub fn remember<T>(cx: &Cx<'_>, call: &Repeatable, decision: Decision<T>, answer: Vec<u8>) -> Decided<T> {
    let (mut batch, output) = match decision {
        Decision::Commit { batch, output } => (batch, output),
        Decision::Done(output) => (Draft::new(*cx).batch, output),
    };
    let row = IdempotentAnswerRow { request: call.request(cx), answer };
    tables::IDEMPOTENT_ANSWERS.require(&mut batch, &call.place(cx), None);
    tables::IDEMPOTENT_ANSWERS.put(&mut batch, &call.place(cx), &row, class::MINUTES, cx.now().plus_ms(ANSWER_MS));
    Ok(Decision::Commit { batch, output })
}
