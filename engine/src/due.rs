//! What has to happen at a moment: tables keyed by `(moment in milliseconds, name)`, from whose head a worker takes what is due.

use journal::{Name, ReadError, Table, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use crate::Cx;

/// What is due by now, the longest overdue first.
pub(crate) fn due<V: Serialize + DeserializeOwned, R>(
    cx: &Cx<'_>,
    table: &'static Table<(u64, Name), V, R>,
    limit: usize,
) -> Result<Vec<V>, ReadError> {
    let mut due = Vec::new();
    for found in table.scan(cx.view, &()) {
        let ((at, _), row) = found?;
        if at > cx.now().as_ms() || due.len() == limit {
            break;
        }
        due.push(row.value);
    }
    Ok(due)
}

/// When the next is due; `None`: nothing is planned.
pub(crate) fn next<V: Serialize + DeserializeOwned, R>(
    cx: &Cx<'_>,
    table: &'static Table<(u64, Name), V, R>,
) -> Result<Option<Timestamp>, ReadError> {
    let first = table.scan(cx.view, &()).next().transpose()?;
    Ok(first.map(|((at, _), _)| Timestamp::from_ms(at)))
}
