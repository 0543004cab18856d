//! Pieces of the interface that know what a pool, a host and a VM are.

pub mod account_menu;
pub mod activity;
pub mod bulk_bar;
pub mod confirm;
pub mod facts;
pub mod filter_box;
pub mod help;
pub mod link_chip;
pub mod list_page;
pub mod object_header;
pub mod object_link;
pub mod object_list;
pub mod object_table;
pub mod palette;
pub mod power_state;
pub mod server_form;
pub mod tags;
pub mod task_drawer;
pub mod task_list;
pub mod toast_stack;
pub mod tree;
pub mod vm_actions;
pub mod vm_table;
pub mod why;
