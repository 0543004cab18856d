//! The filter languages: text for people, patterns for programs. (Filled by later commits.)
