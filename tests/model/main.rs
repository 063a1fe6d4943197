//! What has to hold in every order in which things can happen.

mod feed;
