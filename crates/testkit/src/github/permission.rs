//! What people may do.

pub use backlog::approval::Permission;

/// GitHub's name of a base role.
pub(super) fn role(permission: Permission) -> &'static str {
    match permission {
        Permission::None => "none",
        Permission::Read => "read",
        Permission::Triage => "triage",
        Permission::Write => "write",
        Permission::Maintain => "maintain",
        Permission::Admin => "admin",
    }
}

/// The older four-valued name, which hides triage and maintain.
pub(super) fn legacy(permission: Permission) -> &'static str {
    match permission {
        Permission::None => "none",
        Permission::Read | Permission::Triage => "read",
        Permission::Write | Permission::Maintain => "write",
        Permission::Admin => "admin",
    }
}

/// A role given to a user: the base permission, and the name shown for it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) permission: Permission,
    pub(super) role_name: String,
}
