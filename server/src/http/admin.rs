//! The administration pages and the account page: each change is a form that is answered with a redirect, and
//! runs the method of the API that does it, with its checks and its record in the audit log.

mod account;
mod audit;
mod connections;
mod failure;
mod group;
mod groups;
mod names;
mod notices;
mod otp;
mod overview;
mod rights;
mod servers;
mod tokens;
mod user;
mod users;
mod visit;

use crate::app::App;
use ::app::routes;
use axum::{Router, routing::get};
use std::sync::Arc;

/// What waits for a browser.
#[derive(Default)]
pub struct Waiting {
    /// Sign-ins that still want a one-time code.
    pub sign_ins: super::tickets::Tickets<super::pages::HalfWay>,
    pub enrolments: super::tickets::Tickets<otp::Enrolment>,
    /// Secrets of new tokens, with their owners.
    pub secrets: super::tickets::Tickets<(String, String)>,
}

pub fn routes() -> Router<Arc<App>> {
    let user = format!("{}/{{id}}", routes::ADMIN_USERS);
    let group = format!("{}/{{id}}", routes::ADMIN_GROUPS);
    Router::new()
        .route(routes::ADMIN, get(overview::show))
        .route(routes::ADMIN_SERVERS, get(servers::show).post(servers::change))
        .route(routes::ADMIN_USERS, get(users::show).post(users::change))
        .route(&user, get(user::show).post(user::change))
        .route(routes::ADMIN_GROUPS, get(groups::show).post(groups::change))
        .route(&group, get(group::show).post(group::change))
        .route(routes::ADMIN_RIGHTS, get(rights::show).post(rights::change))
        .route(routes::ADMIN_TOKENS, get(tokens::show).post(tokens::change))
        .route(
            routes::ADMIN_CONNECTIONS,
            get(connections::show).post(connections::change),
        )
        .route(routes::ADMIN_AUDIT, get(audit::show).post(audit::change))
        .route(routes::ACCOUNT, get(account::show).post(account::change))
        .route(routes::ACCOUNT_OTP, get(otp::show).post(otp::change))
}
