//! Drives the helpdesk: brings it what people wrote, fetches what agents answered, tells Matrix whether one is there, and
//! has it erase what has expired.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use appservice::{CallError, Homeserver};
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::client::{
        presence::set_presence,
        typing::create_typing_event::{
            self,
            v3::{Typing as Typed, TypingInfo},
        },
    },
    presence::PresenceState,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Attachment, Author, Availability, Erasure, Helpdesk, HelpdeskError, Message, Opening};
use crate::{
    attachment::{self, FetchError},
    clock::{Millis, now_ms},
    database::StoreError,
    store::{Post, PostBody, PostedFile, Store},
    typing::Typing,
};

/// Between two looks at a helpdesk that says when something happened.
const POLL_POKED: Duration = Duration::from_secs(5);
/// Between two looks at one that doesn't.
const POLL: Duration = Duration::from_secs(2);
/// Presence fades on the homeserver unless it is said again.
const PRESENCE_EVERY_MS: Millis = 20_000;
const PRESENCE_PATIENCE: Duration = Duration::from_secs(3);
/// Typing fades on the homeserver as well.
const TYPING_TIMEOUT: Duration = Duration::from_secs(30);
const TYPING_EVERY_MS: Millis = 20_000;
/// How many replies are fetched at once.
const REPLIES_MAX: usize = 100;
/// The first pause after a failed post, doubled each time.
const POST_PAUSE_MS: Millis = 1000;
const POST_PAUSE_MS_MAX: Millis = 60_000;
/// After so many failures to fetch a file (some 20 minutes) the agent is told instead.
const FETCH_ATTEMPTS_MAX: u32 = 25;

/// Everything the worker needs.
pub struct Worker {
    /// The rows.
    pub store: Store,
    /// The helpdesk.
    pub helpdesk: Arc<dyn Helpdesk>,
    /// Called as the support user.
    pub homeserver: Homeserver,
    /// The support user, whose presence is the desk's availability.
    pub user_id: OwnedUserId,
    /// Wakes this worker.
    pub poke: Arc<Notify>,
    /// Wakes the Matrix side.
    pub matrix: Arc<Notify>,
    /// Rooms where somebody is typing.
    pub typing: Typing,
    /// The largest file fetched, in bytes.
    pub attachment_bytes_max: u64,
    /// How often expired content is erased.
    pub sweep: Duration,
}

/// What has been told of who types.
#[derive(Default)]
struct TypingTold {
    /// Rooms whose person types.
    rooms: BTreeSet<String>,
    /// Tickets whose agent types, and when the room was told.
    tickets: BTreeMap<String, Millis>,
}

/// Why a round of work was broken off.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Helpdesk(#[from] HelpdeskError),
}

impl Worker {
    /// Works until `stop`; then says that nobody is there.
    pub async fn run(self, stop: CancellationToken) {
        let poll = if self.helpdesk.capabilities().pokes { POLL_POKED } else { POLL };
        let mut presence: Option<(Availability, Millis)> = None;
        let mut typing = TypingTold::default();
        let mut sweep_ms = 0;
        while !stop.is_cancelled() {
            if now_ms() >= sweep_ms {
                sweep_ms = now_ms() + Millis::try_from(self.sweep.as_millis()).unwrap_or(Millis::MAX / 2);
                log_failure("erasing", self.erase().await);
            }
            log_failure("posting", self.deliver().await);
            log_failure("fetching replies", self.fetch_replies().await);
            log_failure("telling who types", self.tell_typing(&mut typing).await);
            match self.helpdesk.availability().await {
                Ok(now) => presence = self.tell_presence(presence, now).await,
                Err(error) => tracing::warn!(%error, "availability unknown"),
            }
            tokio::select! {
                () = self.poke.notified() => {}
                () = tokio::time::sleep(poll) => {}
                () = stop.cancelled() => {}
            }
        }
        if matches!(presence, Some((Availability::Online, _))) {
            self.tell_presence(presence, Availability::Offline).await;
        }
    }

    /// Says the availability as presence when it changed or is about to fade.
    async fn tell_presence(
        &self,
        told: Option<(Availability, Millis)>,
        now: Availability,
    ) -> Option<(Availability, Millis)> {
        if let Some((before, at)) = told
            && before == now
            && now_ms() - at < PRESENCE_EVERY_MS
        {
            return told;
        }
        let state = match now {
            Availability::Online => PresenceState::Online,
            Availability::Offline => PresenceState::Offline,
        };
        let request = set_presence::v3::Request::new(self.user_id.clone(), state);
        // Not tried for long: a homeserver that is away must not keep posts waiting.
        let sent = tokio::time::timeout(PRESENCE_PATIENCE, self.homeserver.send(request)).await;
        match sent.unwrap_or_else(|_| Err(CallError::Unreachable("no answer in time".to_owned()))) {
            Ok(_) => {
                if told.is_none_or(|(before, _)| before != now) {
                    tracing::info!(availability = ?now, "availability told");
                }
                Some((now, now_ms()))
            }
            Err(error) => {
                tracing::warn!(%error, "availability not told");
                None
            }
        }
    }

    /// Tells either side who is typing on the other. Best effort: what fails is not tried again, it would come too late.
    async fn tell_typing(&self, told: &mut TypingTold) -> Result<(), RoundError> {
        let now = now_ms();
        let rooms = self.typing.places(now);
        for room_id in told.rooms.symmetric_difference(&rooms) {
            if let Some(ticket) = self.store.ticket_of_room(room_id.clone()).await? {
                self.helpdesk.person_typing(&ticket, rooms.contains(room_id)).await?;
            }
        }
        told.rooms = rooms;
        let tickets = self.helpdesk.agents_typing();
        let ended: Vec<_> = told.tickets.keys().filter(|ticket| !tickets.contains(*ticket)).cloned().collect();
        let due = |ticket: &&String| told.tickets.get(*ticket).is_none_or(|at| now - at >= TYPING_EVERY_MS);
        let begun: Vec<_> = tickets.iter().filter(due).cloned().collect();
        for ticket in ended {
            told.tickets.remove(&ticket);
            self.send_typing(ticket, Typed::No).await?;
        }
        for ticket in begun {
            told.tickets.insert(ticket.clone(), now);
            self.send_typing(ticket, Typed::Yes(TypingInfo::new(TYPING_TIMEOUT))).await?;
        }
        Ok(())
    }

    async fn send_typing(&self, ticket: String, typed: Typed) -> Result<(), RoundError> {
        let room_id = self.store.room_of_ticket(ticket).await?.and_then(|room_id| OwnedRoomId::try_from(room_id).ok());
        let Some(room_id) = room_id else { return Ok(()) };
        let request = create_typing_event::v3::Request::new(self.user_id.clone(), room_id, typed);
        if let Ok(Err(error)) = tokio::time::timeout(PRESENCE_PATIENCE, self.homeserver.send(request)).await {
            tracing::debug!(%error, "typing not told");
        }
        Ok(())
    }

    /// Brings every due post to its ticket.
    async fn deliver(&self) -> Result<(), RoundError> {
        loop {
            let posts = self.store.posts_due(now_ms()).await?;
            if posts.is_empty() {
                return Ok(());
            }
            for post in posts {
                match self.deliver_one(&post).await {
                    Ok(()) => self.store.post_done(post.post_id).await?,
                    Err(RoundError::Helpdesk(HelpdeskError::Refused(reason))) => {
                        tracing::warn!(conversation = post.conversation_id, "post refused");
                        self.replace_by_note(&post, format!("A message could not be shown here: {reason}")).await?;
                    }
                    Err(RoundError::Helpdesk(error @ HelpdeskError::Unavailable(_))) => {
                        tracing::warn!(conversation = post.conversation_id, attempts = post.attempts, %error, "post delayed");
                        let pause = (POST_PAUSE_MS << post.attempts.min(6)).min(POST_PAUSE_MS_MAX);
                        self.store.post_delayed(post.post_id, now_ms() + pause).await?;
                    }
                    Err(error @ RoundError::Store(_)) => return Err(error),
                }
            }
        }
    }

    /// A note about a note would go round in circles: that one is dropped.
    async fn replace_by_note(&self, post: &Post, text: String) -> Result<(), StoreError> {
        if matches!(post.body, PostBody::Note { .. }) {
            return self.store.post_done(post.post_id).await;
        }
        self.store.post_becomes(post, PostBody::Note { text }).await
    }

    async fn deliver_one(&self, post: &Post) -> Result<(), RoundError> {
        let ticket = self.ticket_of(post).await?;
        let message = |author, text: &str| Message {
            key: post.key.clone(),
            author,
            text: text.to_owned(),
            at_ms: post.at_ms,
            expires_ms: post.expires_ms,
        };
        match &post.body {
            PostBody::Message { name, text } => {
                self.helpdesk.append(&ticket, message(Author::Person(name.clone()), text)).await?;
            }
            PostBody::Note { text } => self.helpdesk.append(&ticket, message(Author::Bridge, text)).await?,
            PostBody::TakenBack { key } => {
                self.helpdesk.erase(&ticket, Erasure::One(key.clone())).await?;
            }
            PostBody::Over { text } => {
                self.helpdesk.append(&ticket, message(Author::Bridge, text)).await?;
                self.helpdesk.close(&ticket).await?;
            }
            PostBody::File { name, file } => self.attach(post, &ticket, name, file).await?,
        }
        Ok(())
    }

    /// The ticket of the post's conversation, opened by its first post.
    async fn ticket_of(&self, post: &Post) -> Result<String, RoundError> {
        if let Some(ticket) = &post.ticket {
            return Ok(ticket.clone());
        }
        let contact = match &post.body {
            PostBody::Message { name, .. } | PostBody::File { name, .. } => name.clone(),
            PostBody::Note { .. } | PostBody::TakenBack { .. } | PostBody::Over { .. } => String::new(),
        };
        let opening = Opening {
            key: format!("{}:{}", post.room_id, post.conversation_id),
            opened_ms: post.opened_ms,
            contact,
            contact_expires_ms: post.expires_ms,
        };
        let ticket = self.helpdesk.open(opening).await?;
        self.store.ticket_opened(post.conversation_id, ticket.clone()).await?;
        tracing::info!(conversation = post.conversation_id, "ticket opened");
        Ok(ticket)
    }

    async fn attach(&self, post: &Post, ticket: &str, name: &str, file: &PostedFile) -> Result<(), RoundError> {
        let limit = self.helpdesk.capabilities().attachment_bytes_max.unwrap_or(0).min(self.attachment_bytes_max);
        let tell = |text: String| Message {
            key: post.key.clone(),
            author: Author::Bridge,
            text,
            at_ms: post.at_ms,
            expires_ms: post.expires_ms,
        };
        if file.size_bytes.is_some_and(|size| size > limit) {
            let text = format!("{name} sent a file that is too large to show here ({}).", file.name);
            return Ok(self.helpdesk.append(ticket, tell(text)).await?);
        }
        match attachment::fetch(&self.homeserver, file, limit).await {
            Ok(bytes) => {
                let attachment = Attachment {
                    key: post.key.clone(),
                    person: name.to_owned(),
                    name: file.name.clone(),
                    media_type: file.media_type.clone(),
                    bytes,
                    at_ms: post.at_ms,
                    expires_ms: post.expires_ms,
                };
                Ok(self.helpdesk.attach(ticket, attachment).await?)
            }
            Err(FetchError::Later(reason)) if post.attempts < FETCH_ATTEMPTS_MAX => {
                Err(HelpdeskError::Unavailable(reason).into())
            }
            Err(FetchError::Later(reason) | FetchError::Never(reason)) => {
                tracing::warn!(conversation = post.conversation_id, reason, "file not fetched");
                let text = format!("{name} sent a file that could not be fetched ({}).", file.name);
                Ok(self.helpdesk.append(ticket, tell(text)).await?)
            }
        }
    }

    /// Fetches what agents did, until there is nothing new.
    async fn fetch_replies(&self) -> Result<(), RoundError> {
        loop {
            let cursor = self.store.cursor().await?;
            let (replies, next) = self.helpdesk.replies(&cursor, REPLIES_MAX).await?;
            if next == cursor {
                return Ok(());
            }
            let count = replies.len();
            if self.store.keep_replies(replies, next).await? > 0 {
                self.matrix.notify_one();
            }
            if count < REPLIES_MAX {
                return Ok(());
            }
        }
    }

    /// Erases what has expired: in the helpdesk first, with proof, then here.
    async fn erase(&self) -> Result<(), RoundError> {
        let now = now_ms();
        for ticket in self.store.erasures_due(now).await? {
            match self.helpdesk.erase(&ticket, Erasure::Expired(now)).await {
                Ok(erased) => {
                    let erased = i64::try_from(erased).unwrap_or(i64::MAX);
                    self.store.erased(ticket, now, erased, now).await?;
                }
                Err(error) => tracing::error!(%error, "a ticket could not be erased; tried again at the next sweep"),
            }
        }
        Ok(self.store.expire(now).await?)
    }
}

fn log_failure(what: &str, result: Result<(), RoundError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what} failed; tried again");
    }
}
