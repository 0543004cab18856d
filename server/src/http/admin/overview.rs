//! `/admin`

use super::visit::{Admin, Page, Wrong};
use ::app::{
    pages::admin::overview::{OverviewPage, OverviewPageProps, Status},
    routes,
};

pub async fn show(Admin(visit): Admin) -> Page {
    let status: Status = visit.read("system.getStatus", ()).await?;
    visit.page("Administration", routes::ADMIN, &Wrong::default(), || {
        OverviewPage(OverviewPageProps { status })
    })
}
