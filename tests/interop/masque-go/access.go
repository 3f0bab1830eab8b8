// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	masque "github.com/quic-go/masque-go"
)

// present asks for a tunnel with one field, "Name: value" or nothing, and says what it was answered.
func present(client *masque.ClientConn, field string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := masque.NewRequest(ctx, template(), *target)
	if err != nil {
		return nil, err
	}
	if name, value, found := strings.Cut(field, ": "); found {
		request.Header().Set(name, value)
	}
	begin := time.Now()
	tunnel, response, err := client.Dial(request)
	if response == nil {
		return nil, err
	}
	found := map[string]any{"status": response.StatusCode, "usec": time.Since(begin).Microseconds()}
	if err == nil {
		found["echo"] = echo(tunnel, payloadOf(1000))
		tunnel.Close()
		return found, nil
	}
	var head []string
	for name, values := range response.Header {
		head = append(head, fmt.Sprintf("%s: %s", name, strings.Join(values, " | ")))
	}
	sort.Strings(head)
	body, _ := io.ReadAll(response.Body)
	found["head"], found["body"] = head, string(body)
	return found, nil
}

// access presents credentials one after the other on one connection.
func access() (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, client, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.CloseWithError(0x100, "")
	var all []map[string]any
	for _, field := range strings.Split(*fieldList, "\n") {
		found, err := present(client, field)
		if err != nil {
			return nil, err
		}
		all = append(all, found)
	}
	return all, nil
}
