// SPDX-License-Identifier: GPL-3.0-or-later

// masque-go is an unmodified masque-go proxy, set up as its own documentation has it.
//
//	masque-go -listen HOST:PORT -ca FILE
//
// Makes an ECDSA authority and a certificate for the name "relay.test", writes the authority to FILE,
// says "ready", and ends with its standard input.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/quic-go/masque-go"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/yosida95/uritemplate/v3"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func certificate(caFile string) tls.Certificate {
	caKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "relay.test"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, DNSNames: []string{"relay.test"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	caDER := must(x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey))
	leafDER := must(x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey))
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	if err := os.WriteFile(caFile, text, 0o644); err != nil {
		log.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: key}
}

func main() {
	listen := flag.String("listen", "", "HOST:PORT")
	caFile := flag.String("ca", "", "where the authority is written")
	flag.Parse()

	template := uritemplate.MustNew("https://" + *listen +
		"/.well-known/masque/udp/{target_host}/{target_port}/")
	var proxy masque.Proxy
	handler := func(w http.ResponseWriter, r *http.Request) {
		request, err := masque.ParseProxyRequest(r, template)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		proxy.Proxy(w, request)
	}
	server := http3.Server{
		TLSConfig: http3.ConfigureTLSConfig(
			&tls.Config{Certificates: []tls.Certificate{certificate(*caFile)}}),
		QUICConfig:      &quic.Config{EnableDatagrams: true, MaxIncomingStreams: 1 << 16},
		EnableDatagrams: true,
		Handler:         http.HandlerFunc(handler),
	}
	conn := must(net.ListenPacket("udp", *listen))
	fmt.Println("ready")
	go server.Serve(conn)
	io.Copy(io.Discard, os.Stdin)
}
