//! What posts and replies are both: rows of a conversation that are tried, in order, until they are done.

use rusqlite::{Row, Transaction, params};

use crate::{clock::Millis, database::StoreError, seal::Sealer};

/// How many rows are taken up at once: one for each conversation.
const DUE_MAX: i64 = 100;

/// The table of such rows; its key is its name with `_id`, and its bodies are sealed about its name.
#[derive(Clone, Copy)]
pub(super) struct Queue(pub &'static str);

impl Queue {
    /// The first undone row of each conversation, if it is due: so order holds, and a failing one holds up only its own
    /// conversation. `read` is given the `columns` and the opened body.
    pub fn due<T>(
        self,
        t: &Transaction<'_>,
        sealer: &Sealer,
        now: Millis,
        columns: &str,
        read: impl Fn(&Row<'_>, &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let name = self.0;
        let mut query = t.prepare(&format!(
            "SELECT {columns}, {name}.body AS sealed FROM {name} JOIN conversation USING (conversation_id)
             WHERE {name}.{name}_id IN (SELECT MIN({name}_id) FROM {name} WHERE done = 0 GROUP BY conversation_id)
               AND {name}.next_ms <= ?1 AND {name}.body IS NOT NULL ORDER BY {name}.{name}_id LIMIT ?2"
        ))?;
        let mut rows = query.query(params![now, DUE_MAX])?;
        let mut due = Vec::new();
        while let Some(row) = rows.next()? {
            let sealed: Vec<u8> = row.get("sealed")?;
            let Some(body) = sealer.open_sealed(name, &sealed)? else { continue };
            due.push(read(row, &body)?);
        }
        Ok(due)
    }

    /// The other side has it: its body is dropped here.
    pub fn done(self, t: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
        let name = self.0;
        t.execute(&format!("UPDATE {name} SET done = 1, body = NULL WHERE {name}_id = ?1"), [id])?;
        Ok(())
    }

    /// The other side could not be reached: it is tried again at `next_ms`.
    pub fn delayed(self, t: &Transaction<'_>, id: i64, next_ms: Millis) -> Result<(), StoreError> {
        let name = self.0;
        t.execute(
            &format!("UPDATE {name} SET attempts = attempts + 1, next_ms = ?2 WHERE {name}_id = ?1"),
            params![id, next_ms],
        )?;
        Ok(())
    }
}
