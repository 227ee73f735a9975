//! Finding people ([spec v1.19, § User directory](https://spec.matrix.org/v1.19/client-server-api/#user-directory)).

use engine::account::{self, Search};
use ruma::api::client::user_directory::search_users::{self, v3::User};

use crate::app::App;
use crate::http::{ApiError, Routes, Ruma};

/// This family's calls.
#[must_use]
pub fn routes(routes: Routes) -> Routes {
    routes.ruma(search)
}

/// `POST /user_directory/search`
async fn search(app: App, request: Ruma<search_users::v3::Request>) -> Result<search_users::v3::Response, ApiError> {
    let user_id = request.requester()?.user_id.clone();
    let limit = usize::try_from(u64::from(request.body.limit)).unwrap_or(usize::MAX);
    let command = Search { user_id, term: request.body.search_term, limit };
    let found = app.read(|cx| Ok(account::search(cx, &command)?))?;
    let results = found.users.into_iter().map(|(user_id, profile)| {
        let mut user = User::new(user_id);
        user.display_name = profile.display_name;
        user.avatar_url = profile.avatar_url;
        user
    });
    Ok(search_users::v3::Response::new(results.collect(), found.limited))
}
