// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	masque "github.com/quic-go/masque-go"
	"github.com/quic-go/quic-go"
)

// dial opens a connection to the relay, as masque-go has it for many tunnels.
func dial(ctx context.Context) (*quic.Conn, *masque.ClientConn, error) {
	tlsConf, err := tlsConfig()
	if err != nil {
		return nil, nil, err
	}
	conn, err := quic.DialAddr(ctx, *relay, tlsConf, quicConfig())
	if err != nil {
		return nil, nil, err
	}
	client, err := (&masque.Transport{}).NewClientConn(conn)
	return conn, client, err
}

func open(ctx context.Context, client *masque.ClientConn, to string) (*masque.Conn, error) {
	request, err := masque.NewRequest(ctx, template(), to)
	if err != nil {
		return nil, err
	}
	tunnel, _, err := client.Dial(request)
	return tunnel, err
}

// echo sends a payload and waits for the same to come back: "same", "different" or "missing".
func echo(tunnel *masque.Conn, payload []byte) string {
	buf := make([]byte, 65536)

	for attempt := 0; attempt < 3; attempt++ {
		if _, err := tunnel.WriteTo(payload, nil); err != nil {
			return "refused: " + err.Error()
		}
		tunnel.SetReadDeadline(time.Now().Add(time.Second))
		n, _, err := tunnel.ReadFrom(buf)
		if err != nil {
			continue // UDP may lose it
		}
		if bytes.Equal(buf[:n], payload) {
			return "same"
		}
		return "different"
	}
	return "missing"
}

func payloadOf(size int) []byte {
	payload := make([]byte, size)
	rand.Read(payload)
	return payload
}

func exchange() (any, error) {
	wanted, err := parseSizes(*sizes)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, client, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.CloseWithError(0x100, "")
	tunnel, err := open(ctx, client, *target)
	if err != nil {
		return nil, err
	}
	defer tunnel.Close()
	found := map[string][]int{"same": {}}
	for _, size := range wanted {
		what := echo(tunnel, payloadOf(size))
		found[what] = append(found[what], size)
	}
	return map[string]any{"sizes": found, "group": conn.ConnectionState().TLS.CurveID.String()}, nil
}

// round exchanges one payload on each tunnel, all at a time, and says how many came back.
func round(tunnels []*masque.Conn) (int, error) {
	var wait sync.WaitGroup
	results := make([]string, len(tunnels))
	good := 0

	for i, tunnel := range tunnels {
		wait.Add(1)
		go func() {
			defer wait.Done()
			results[i] = echo(tunnel, payloadOf(100+i))
		}()
	}
	wait.Wait()
	for i, result := range results {
		if result == "same" {
			good++
		} else if result != "missing" {
			return good, fmt.Errorf("tunnel %d: %s", i, result)
		}
	}
	return good, nil
}

// many opens tunnels on one connection, uses them, closes every second one, uses the others, and
// opens as many again.
func many() (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	conn, client, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.CloseWithError(0x100, "")
	list := strings.Split(*targets, ",")
	tunnels := make([]*masque.Conn, *count)
	for i := range tunnels {
		if tunnels[i], err = open(ctx, client, list[i%len(list)]); err != nil {
			return nil, fmt.Errorf("tunnel %d: %w", i, err)
		}
	}
	rounds := make([]int, 3)
	if rounds[0], err = round(tunnels); err != nil {
		return nil, err
	}
	var kept []*masque.Conn
	for i, tunnel := range tunnels {
		if i%2 == 1 {
			tunnel.Close()
		} else {
			kept = append(kept, tunnel)
		}
	}
	if rounds[1], err = round(kept); err != nil {
		return nil, err
	}
	for i := 1; i < len(tunnels); i += 2 {
		if tunnels[i], err = open(ctx, client, list[i%len(list)]); err != nil {
			return nil, fmt.Errorf("tunnel %d again: %w", i, err)
		}
	}
	if rounds[2], err = round(tunnels); err != nil {
		return nil, err
	}
	return map[string]any{"same": rounds}, nil
}
