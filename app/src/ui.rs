//! Widgets that know no domain type.

pub mod button;
pub mod dialog;
pub mod empty;
pub mod format;
pub mod icon;
pub mod inline_edit;
pub mod keys;
pub mod later;
pub mod live_title;
pub mod mark;
pub mod menu;
pub mod meter;
pub mod tabs;
pub mod virtual_window;
