/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * err - the one error space: 0 is success, -errno is the system's, CLV_E* below -2000 are ours.
 *
 * Threading: any thread.
 */
#ifndef CLV_BASE_ERR_H
#define CLV_BASE_ERR_H

#define CLV_ERRORS(X)                                                                              \
	X(CLV_EPROTO, -2001, "the peer broke the protocol")                                        \
	X(CLV_ETRUNC, -2002, "cut short")                                                          \
	X(CLV_ERANGE, -2003, "value out of range")                                                 \
	X(CLV_ESYNTAX, -2004, "not in the expected form")                                          \
	X(CLV_EFULL, -2005, "a configured ceiling is reached")                                     \
	X(CLV_EDENIED, -2007, "refused by policy")                                                 \
	X(CLV_EUNROUTABLE, -2008, "no route to that address or family")                            \
	X(CLV_ENONAME, -2009, "the name does not resolve")                                         \
	X(CLV_ENAMETIME, -2010, "name resolution took too long")                                   \
	X(CLV_ETLS, -2011, "the TLS library refused")                                              \
	X(CLV_EQUIC, -2012, "the QUIC library refused")                                            \
	X(CLV_EHTTP, -2013, "the HTTP/3 library refused")                                          \
	X(CLV_EUNTRUSTED, -2014, "the certificate is not trusted")                                 \
	X(CLV_ECLASSICAL, -2015, "the other side offered no acceptable post-quantum handshake")    \
	X(CLV_EABI, -2016, "built for another version of the shared layout")                       \
	X(CLV_ECLOSED, -2017, "the connection is closing")                                         \
	X(CLV_ETIMEOUT, -2018, "no answer in time")                                                \
	X(CLV_EUNAUTHORIZED, -2019, "valid credentials are required")                              \
	X(CLV_ENOPEER, -2020, "nobody knows where that peer is")                                   \
	X(CLV_EIDENTITY, -2021, "somebody else answers in the place of that peer")                 \
	X(CLV_EREFUSED, -2022, "the peer refuses")

enum clv_error {
#define X(symbol, number, text) symbol = number,
	CLV_ERRORS(X)
#undef X
};

/*
 * Describe an error number of either kind, positive errno included.
 *
 * Returns a string that lives as long as the program; never NULL.
 */
const char *clv_strerror(int err);

#endif
