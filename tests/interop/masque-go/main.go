// SPDX-License-Identifier: GPL-3.0-or-later

// masque-go drives a relay with an unmodified masque-go client, and with quic-go below it.
//
//	masque-go exchange  -relay HOST:PORT -ca FILE -target HOST:PORT -sizes 0,1,1200
//	masque-go many      -relay HOST:PORT -ca FILE -targets HOST:PORT,HOST:PORT -count 50
//	masque-go access    -relay HOST:PORT -ca FILE -target HOST:PORT -fields 'NAME: VALUE'
//	masque-go handshake -relay HOST:PORT -ca FILE -groups X25519,P256 [-cert]
//	masque-go wrong     -relay HOST:PORT -ca FILE -target HOST:PORT
//
// Each prints one JSON object on standard output.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/yosida95/uritemplate/v3"
)

const patience = 5 * time.Second

var (
	relay     = flag.String("relay", "", "the relay's HOST:PORT")
	ca        = flag.String("ca", "", "file with the certificate authority to trust")
	target    = flag.String("target", "", "an echo server's HOST:PORT")
	targets   = flag.String("targets", "", "several of them, by commas")
	sizes     = flag.String("sizes", "", "payload sizes, by commas; A-B for all between")
	count     = flag.Int("count", 50, "tunnels on one connection")
	groups    = flag.String("groups", "", "key exchanges to offer, by commas")
	fieldList = flag.String("fields", "", "header fields with credentials, one a line")
	cert      = flag.Bool("cert", false, "have a classical client certificate")
)

func tlsConfig() (*tls.Config, error) {
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		// An ML-DSA authority is nothing Go can read; its server must refuse before that matters.
		roots = nil
	}
	return &tls.Config{RootCAs: roots, NextProtos: []string{http3.NextProtoH3}}, nil
}

func quicConfig() *quic.Config {
	return &quic.Config{EnableDatagrams: true, InitialPacketSize: 1350,
		HandshakeIdleTimeout: patience}
}

func template() *uritemplate.Template {
	return uritemplate.MustNew("https://" + *relay +
		"/.well-known/masque/udp/{target_host}/{target_port}/")
}

// codeOf takes the number out of a QUIC error: what the relay said.
func codeOf(err error) string {
	var app *quic.ApplicationError
	var stream *quic.StreamError
	var transport *quic.TransportError

	switch {
	case err == nil:
		return "none"
	case errors.As(err, &app):
		return fmt.Sprintf("connection 0x%x", uint64(app.ErrorCode))
	case errors.As(err, &stream):
		return fmt.Sprintf("stream 0x%x", uint64(stream.ErrorCode))
	case errors.As(err, &transport):
		return fmt.Sprintf("transport 0x%x", uint64(transport.ErrorCode))
	}
	return err.Error()
}

func parseSizes(text string) ([]int, error) {
	var found []int
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil {
			return nil, err
		}
		for size := from; size <= to; size++ {
			found = append(found, size)
		}
	}
	return found, nil
}

func main() {
	commands := map[string]func() (any, error){
		"access": access, "exchange": exchange, "many": many, "handshake": handshake, "wrong": wrong}

	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: masque-go access|exchange|many|handshake|wrong OPTIONS")
		os.Exit(2)
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		os.Exit(2)
	}
	result, err := commands[os.Args[1]]()
	if err != nil {
		fmt.Fprintln(os.Stderr, "masque-go:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}
