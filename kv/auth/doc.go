// Package auth decides who may do what with a key space: the users and roles
// of the v2 API.
//
// You hold an [Authority], from [Open], over the kv.Store that it is to guard.
// You ask it, before each request, whether the [Credentials] that came along
// suffice: [Authority.CheckKey], [Authority.CheckAdmin]. You owe it a call of
// Close, and the promise that nobody else reads or writes the keys of which
// [Reserved] is true: there the store keeps users, roles and password hashes,
// replicated and in snapshots like all else, and hidden like all that begins
// with an underscore.
//
// All of the state is one document at one key, so each change is one
// compare-and-swap, decided on the state as a quorum has it. An Authority
// follows that key with a watch; a check reads memory alone. It is as new as
// what the store has applied, but for the moment that a watch takes, and never
// older than a change made through the same Authority.
//
// # Passwords
//
// They are stored as bcrypt hashes of cost 10, which takes some 50 ms to check.
// A password that was right once is remembered, as an HMAC under a key that
// lives as long as the process, beside the very hash that it fits; so a user
// costs one bcrypt per process and change of password, not one per request.
// Wrong passwords are never remembered. How many bcrypts run at a time, and how
// many callers may wait for theirs, is bounded: beyond that the answer is
// [ErrBusy], at no cost. Like the original, bcrypt sees the first 72 bytes of a
// password only.
package auth
