//! Files and folders, under what was granted and nowhere else.

mod edit;
mod find;
mod list;
mod read;
mod search;
mod walk;
mod write;

toolhost_plugin::plugin!(
    list::fs_list,
    read::fs_read,
    find::fs_find,
    search::fs_search,
    write::fs_write,
    edit::fs_edit
);
