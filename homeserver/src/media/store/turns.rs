//! Turns at uploading: each upload keeps a part in memory, so that only so many can be under way, and nobody takes them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ruma::{OwnedUserId, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;

/// The share of all turns that one user can have.
const USER_SHARE: usize = 4;

/// Users after which those who upload nothing any more are forgotten.
const USERS_MAX: usize = 1_024;

/// All turns.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    each: usize,
    users: Mutex<HashMap<OwnedUserId, Weak<Semaphore>>>,
}

/// A turn, as long as it is kept.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// `count` in all.
    pub fn new(count: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(count)), each: (count / USER_SHARE).max(1), users: Mutex::default() }
    }

    /// The next turn for `user_id`: who has many under way waits for their own.
    pub async fn take(&self, user_id: &UserId) -> Result<Turn, StoreError> {
        let own = self.of(user_id).acquire_owned().await.map_err(|_| StoreError::Ending)?;
        let of_all = Arc::clone(&self.all).acquire_owned().await.map_err(|_| StoreError::Ending)?;
        Ok(Turn { _own: own, _of_all: of_all })
    }

    fn of(&self, user_id: &UserId) -> Arc<Semaphore> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = users.get(user_id).and_then(Weak::upgrade) {
            return own;
        }
        if users.len() >= USERS_MAX {
            users.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.each));
        users.insert(user_id.to_owned(), Arc::downgrade(&own));
        own
    }
}
