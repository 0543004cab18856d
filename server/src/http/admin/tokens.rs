//! `/admin/tokens`, and what other pages show of tokens.

use super::visit::{Admin, AdminForm, Fields, Page, Visit, Wrong};
use crate::{auth::tokens::now_ms, rpc::error::Failure};
use ::app::{
    pages::admin::tokens::{Token, TokensPage, TokensPageProps},
    routes,
    rpc::RpcError,
};
use axum::response::Response;
use serde_json::json;

/// Tokens that are still good, the newest first; of one user, or of all.
pub async fn of(visit: &Visit, user: Option<&str>) -> Result<Vec<Token>, Response> {
    let listed = visit.app.accounts.tokens.list(user).await;
    let listed = listed.map_err(|error| {
        let error = Failure::from(error).into_rpc(visit.caller.is_admin(), &visit.app.inventory);
        visit.broken(&error)
    })?;
    let (own, now) = (visit.own_token(), now_ms());
    let good = listed.into_iter().filter(|(_, token)| token.expiration > now);
    let mut tokens: Vec<Token> = good
        .map(|(id, token)| {
            let used = token.last_uses.iter().max_by_key(|(_, at)| **at);
            Token {
                owner: visit.user_named(&token.user_id),
                description: token.description.clone().unwrap_or_default(),
                created: token.created_at,
                expires: token.expiration,
                used: used.map(|(from, at)| (*at, from.clone())),
                here: own.as_ref() == Some(&id),
                id,
            }
        })
        .collect();
    tokens.sort_by_key(|token| std::cmp::Reverse(token.created));
    Ok(tokens)
}

/// Of anybody: only for administrators, as the method says.
pub async fn revoke(visit: &Visit, form: &Fields) -> Result<&'static str, RpcError> {
    let params = json!({ "tokens": [form.get("token")] });
    visit.call("token.delete", params).await.map(|_| "token-revoked")
}

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

async fn page(visit: &Visit, wrong: Wrong) -> Page {
    let all = of(visit, None).await?;
    let part = visit.part(all, routes::ADMIN_TOKENS, |token, wanted| {
        let has = |text: &str| text.to_lowercase().contains(wanted);
        has(&token.owner.name) || has(&token.description)
    });
    visit.page("Tokens", routes::ADMIN_TOKENS, &wrong, || {
        TokensPage(TokensPageProps { part })
    })
}

pub async fn change(AdminForm(visit, form): AdminForm) -> Page {
    if form.get("form") != "revoke" {
        return visit.unknown_form();
    }
    match revoke(&visit, &form).await {
        Ok(notice) => visit.done(routes::ADMIN_TOKENS, notice),
        Err(error) => page(&visit, Wrong::of(&error, &form, &[])).await,
    }
}
