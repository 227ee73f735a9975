//! Reading what was said: pages of a timeline, single events, what relates to them, members and state.
//!
//! Nothing here ever fails because something has expired: what is gone reads as what never was (D2).

pub mod aggregate;

mod context;
mod event;
mod members;
mod notifications;
mod page;
mod relations;
mod render;
pub(crate) mod search;
mod state;
#[cfg(test)]
mod tests;
mod threads;
mod timestamp;

pub use context::{Context, ContextRequest, context};
pub use event::event;
pub use members::{MembersRequest, joined_members, members};
pub use notifications::{Notification, Notifications, notifications};
pub use page::{Direction, MessagesRequest, Page, messages};
pub use relations::{RelationsPage, RelationsRequest, relations};
pub use render::Reading;
pub use search::{INDEXED_WORDS_MAX, SearchRequest, SearchResults, search};
pub use state::{room_state, state_event};
pub use threads::{ThreadsPage, ThreadsRequest, threads};
pub use timestamp::event_at;
