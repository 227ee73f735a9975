//! Which messages to devices are known to be gone: every sync acknowledges what the one before it brought, and asking the store for
//! what is left steps over every deleted row that it still has. What is forgotten here is looked up again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine::to_device::{self, Acknowledged};
use journal::Stamp;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use crate::app::App;
use crate::http::ApiError;

/// Devices that are remembered, some 150 bytes each; past it, all are forgotten.
const DEVICES_MAX: usize = 65_536;

/// By device: up to and with which stamp nothing is kept for it, now and in the future.
#[derive(Debug, Default)]
pub struct Delivered(Mutex<HashMap<(OwnedUserId, OwnedDeviceId), Stamp>>);

impl Delivered {
    /// The device has shown by its sync token that it has all messages up to and with `through`: they are deleted (D8).
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn acknowledge(
        &self,
        app: &App,
        user_id: &UserId,
        device_id: &DeviceId,
        through: Stamp,
    ) -> Result<(), ApiError> {
        let device = (user_id.to_owned(), device_id.to_owned());
        let gone = self.devices().get(&device).copied().unwrap_or(Stamp::ZERO);
        if through <= gone {
            return Ok(());
        }
        let acknowledged = Acknowledged { user_id, device_id, gone, through };
        let (kept, now) =
            app.read(|cx| Ok((to_device::has_acknowledged(cx, &acknowledged)?, Stamp::end_of(cx.view.seq()))))?;
        if kept {
            app.run(|cx| to_device::acknowledge(cx, &acknowledged)).await?;
        } else {
            // A token is what the client says: messages that come after this moment are not gone, whatever it says.
            self.note(device, through.min(now));
        }
        Ok(())
    }

    fn note(&self, device: (OwnedUserId, OwnedDeviceId), gone: Stamp) {
        let mut devices = self.devices();
        if devices.len() >= DEVICES_MAX && !devices.contains_key(&device) {
            devices.clear();
        }
        let known = devices.entry(device).or_insert(gone);
        *known = gone.max(*known);
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<(OwnedUserId, OwnedDeviceId), Stamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
