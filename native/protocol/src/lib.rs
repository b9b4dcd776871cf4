//! What client and worker say to each other.
