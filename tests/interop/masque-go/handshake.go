// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
)

var groupIDs = map[string]tls.CurveID{
	"X25519": tls.X25519, "P256": tls.CurveP256, "P384": tls.CurveP384, "P521": tls.CurveP521,
	"X25519MLKEM768":    tls.X25519MLKEM768,
	"SecP256r1MLKEM768": tls.SecP256r1MLKEM768,
}

// classicalCertificate is a self-signed one on P-256.
func classicalCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	plain := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, plain, plain, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// handshake offers some key exchanges and says what came of it.
func handshake() (any, error) {
	tlsConf, err := tlsConfig()
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(*groups, ",") {
		id, known := groupIDs[name]
		if !known {
			return nil, fmt.Errorf("no group %q", name)
		}
		tlsConf.CurvePreferences = append(tlsConf.CurvePreferences, id)
	}
	if *cert {
		certificate, err := classicalCertificate()
		if err != nil {
			return nil, err
		}
		tlsConf.Certificates = []tls.Certificate{certificate}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := quic.DialAddr(ctx, *relay, tlsConf, quicConfig())
	if err != nil {
		return map[string]any{"done": false, "error": codeOf(err)}, nil
	}
	defer conn.CloseWithError(0x100, "")
	// The relay's first stream: a close before that may overtake our own Finished, and then the
	// handshake failed at the relay.
	if _, err := conn.AcceptUniStream(ctx); err != nil {
		return map[string]any{"done": false, "error": codeOf(err)}, nil
	}
	state := conn.ConnectionState().TLS
	return map[string]any{"done": true, "group": state.CurveID.String(),
		"version": tls.VersionName(state.Version), "alpn": state.NegotiatedProtocol}, nil
}
