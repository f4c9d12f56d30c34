//! What people may do.

/// What a user may do in one repository, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing beyond what the public sees.
    None,
    /// Look, open issues, comment.
    Read,
    /// Label and close issues too.
    Triage,
    /// Push and merge too.
    Write,
    /// Repository settings without the dangerous ones.
    Maintain,
    /// Everything.
    Admin,
}

impl Permission {
    /// GitHub's name of this base role.
    #[must_use]
    pub fn role(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// The older four-valued name, which hides triage and maintain.
    #[must_use]
    pub fn legacy(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read | Self::Triage => "read",
            Self::Write | Self::Maintain => "write",
            Self::Admin => "admin",
        }
    }
}

/// A role given to a user: the base permission, and the name shown for it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) permission: Permission,
    pub(super) role_name: String,
}
