//! What may be done with an object: view, operate, administrate (contract/acl.md section 1).

use std::ops::BitOrAssign;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    View,
    Operate,
    Administrate,
}

impl Right {
    pub const ALL: [Self; 3] = [Self::View, Self::Operate, Self::Administrate];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Administrate => "administrate",
        }
    }
}

/// Some of the rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(7);

    /// Of the action in an entry: a role, or the name of one right. An action that is unknown here gives nothing.
    pub fn of_action(action: &str) -> Self {
        match action {
            "viewer" => Self(1),
            "operator" => Self(3),
            "admin" => Self(7),
            name => Right::ALL
                .into_iter()
                .find(|right| right.as_str() == name)
                .map_or(Self::NONE, |right| Self(1 << right as u8)),
        }
    }

    pub fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u8) != 0
    }

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Those that both have.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_names_of_rights() {
        let of = |action| Right::ALL.map(|right| Rights::of_action(action).has(right));
        assert_eq!(of("viewer"), [true, false, false]);
        assert_eq!(of("operator"), [true, true, false]);
        assert_eq!(of("admin"), [true, true, true]);
        assert_eq!(of("operate"), [false, true, false]);
        assert_eq!(of("emperor"), [false; 3]);
    }
}
