"""Pieces: content that is verified before it is sent, leaf by leaf.

Strategy. The first pass over some content computes the BLAKE3 digests of its *leaves* of 64 KiB
beside the digest that the catalog promises (`learning`). Where that matches, the *table* of the
leaves is as trustworthy as it is (`table`), and from then on no byte has to be sent before it is
proven (`proving`), also where only a part is asked for (`covering`).

What others say of pieces is only a *claim* (`claims`): it makes a piece doubted before it is sent,
and decides nothing (`claiming`).

All of it is arithmetic on bytes: it knows no origin, no client, no store and no clock.
Reading order: `table`, `learning`, `proving`, `covering`; then `claims`, `claiming`.
"""
