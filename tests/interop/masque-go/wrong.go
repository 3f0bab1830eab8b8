// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// ---- requests that are well formed HTTP/3 and wrong all the same ----

type request struct {
	name, method, protocol, path string
	header                       map[string]string
}

func udpPath(host, port string) string {
	return "/.well-known/masque/udp/" + host + "/" + port + "/"
}

func requests() []request {
	host, port, _ := net.SplitHostPort(*target)
	host = strings.ReplaceAll(host, ":", "%3A")
	good := udpPath(host, port)
	return []request{
		{name: "a good request", path: good},
		{name: "method GET", method: "GET", protocol: "-", path: good},
		{name: "unknown protocol", protocol: "connect-nothing", path: good},
		{name: "path outside of the template", path: "/elsewhere"},
		{name: "port 0", path: udpPath(host, "0")},
		{name: "port 65536", path: udpPath(host, "65536")},
		{name: "port in words", path: udpPath(host, "domain")},
		{name: "empty host", path: udpPath("", port)},
		{name: "host with a zone", path: udpPath("fe80%3A%3A1%25eth0", port)},
		{name: "loopback target", path: udpPath("127.0.0.1", port)},
		{name: "mapped loopback target", path: udpPath("%3A%3Affff%3A127.0.0.1", port)},
		{name: "giant field section", path: good, header: manyFields()},
		{name: "giant field", path: good,
			header: map[string]string{"x-giant": strings.Repeat("x", 100_000)}},
	}
}

func manyFields() map[string]string {
	found := map[string]string{}
	for i := 0; i < 40; i++ {
		found[fmt.Sprintf("x-giant-%d", i)] = strings.Repeat("x", 2000)
	}
	return found
}

// ask sends one request and says the status, or what the stream or connection ended with.
func ask(ctx context.Context, client *http3.ClientConn, r request) string {
	stream, err := client.OpenRequestStream(ctx)
	if err != nil {
		return codeOf(err)
	}
	defer stream.CancelRead(0x10c)
	method, protocol := http.MethodConnect, "connect-udp"
	if r.method != "" {
		method = r.method
	}
	if r.protocol != "" {
		protocol = r.protocol
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://"+*relay+r.path, nil)
	if err != nil {
		return err.Error()
	}
	if protocol != "-" {
		req.Proto = protocol
	}
	req.Header.Set("Capsule-Protocol", "?1")
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if err := stream.SendRequestHeader(req); err != nil {
		return codeOf(err)
	}
	response, err := stream.ReadResponse()
	if err != nil {
		return codeOf(err)
	}
	return fmt.Sprintf("status %d", response.StatusCode)
}

// ---- bytes that are no HTTP/3 ----

const (
	frameData, frameHeaders, framePriority, frameSettings, frameGoaway = 0x0, 0x1, 0x2, 0x4, 0x7
	streamControl, streamPush, streamEncoder, streamDecoder            = 0x0, 0x1, 0x2, 0x3
)

func varints(values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		b = quicvarint.Append(b, v)
	}
	return b
}

func frame(kind uint64, body []byte) []byte {
	return append(varints(kind, uint64(len(body))), body...)
}

// datagrams on, extended CONNECT is the server's to say
var goodSettings = append(varints(streamControl), frame(frameSettings, varints(0x33, 1))...)

func fields(pairs ...string) []byte {
	var buf bytes.Buffer
	encoder := qpack.NewEncoder(&buf)
	for i := 0; i < len(pairs); i += 2 {
		encoder.WriteField(qpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return frame(frameHeaders, buf.Bytes())
}

func connect() []byte {
	host, port, _ := net.SplitHostPort(*target)
	return fields(":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https",
		":authority", *relay, ":path", udpPath(strings.ReplaceAll(host, ":", "%3A"), port),
		"capsule-protocol", "?1")
}

// One violation: what goes on streams of its own; nil settings: the good ones.
type violation struct {
	name     string
	settings []byte   // the whole control stream
	endsIt   bool     // and a FIN behind
	uni      [][]byte // further unidirectional streams
	bidi     []byte   // a request stream
	fin      bool     // behind bidi
	datagram []byte   // nil: none
	wait     bool     // for the response before more
	more     []byte   // on the request stream, after the response
}

func violations() []violation {
	settings := func(body []byte) []byte {
		return append(varints(streamControl), frame(frameSettings, body)...)
	}
	return []violation{
		{name: "a second control stream", uni: [][]byte{goodSettings}},
		{name: "a push stream from a client", uni: [][]byte{varints(streamPush, 0)}},
		{name: "a control stream that ends", endsIt: true},
		{name: "a control stream without settings",
			settings: append(varints(streamControl), frame(frameGoaway, varints(0))...)},
		{name: "settings twice",
			settings: append(bytes.Clone(goodSettings), frame(frameSettings, nil)...)},
		{name: "a setting of HTTP/2", settings: settings(varints(0x2, 1))},
		{name: "a setting twice", settings: settings(varints(0x33, 1, 0x33, 1))},
		{name: "datagram setting of 2", settings: settings(varints(0x33, 2))},
		{name: "data on the control stream",
			settings: append(bytes.Clone(goodSettings), frame(frameData, []byte("x"))...)},
		{name: "max push id that goes down", settings: append(bytes.Clone(goodSettings),
			append(frame(0xd, varints(5)), frame(0xd, varints(4))...)...)},
		{name: "cancel push never promised",
			settings: append(bytes.Clone(goodSettings), frame(0x3, varints(9))...)},
		{name: "data before headers", bidi: frame(frameData, []byte("x"))},
		{name: "a frame of HTTP/2", bidi: frame(framePriority, make([]byte, 5))},
		{name: "settings on a request stream", bidi: frame(frameSettings, nil)},
		{name: "a request that is cut short", bidi: connect()[:20], fin: true},
		{name: "a request that never begins", bidi: varints(0x21, 0), fin: true},
		{name: "a request stream that only ends", bidi: []byte{}, fin: true},
		{name: "fields that refer to an empty table", bidi: frame(frameHeaders,
			[]byte{0x02, 0x00, 0x80})},
		{name: "fields that do not decode", bidi: frame(frameHeaders, []byte{0, 0, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
		{name: "rubbish on the encoder stream",
			uni: [][]byte{append(varints(streamEncoder), 0x3f, 0xff, 0xff, 0xff, 0x7f)}},
		{name: "rubbish on the decoder stream",
			uni: [][]byte{append(varints(streamDecoder), 0x3f, 0xff, 0xff, 0x7f)}},
		{name: "no path", bidi: fields(":method", "CONNECT", ":protocol", "connect-udp",
			":scheme", "https", ":authority", *relay)},
		{name: "an upper case field name", bidi: fields(":method",
			"CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", *relay,
			":path", "/", "Upper", "1")},
		{name: "an empty datagram", datagram: []byte{}},
		{name: "a datagram of an impossible stream", datagram: varints(1 << 61)},
		{name: "a datagram of a stream beyond the limit", datagram: varints(1<<20, 0)},
		{name: "a datagram of a stream never opened", datagram: varints(7, 0)},
		{name: "a capsule cut short", bidi: connect(), wait: true,
			more: frame(frameData, []byte{0x00, 0x08, 0x00, 'x'}), fin: true},
		{name: "a datagram capsule without a context", bidi: connect(), wait: true,
			more: frame(frameData, []byte{0x00, 0x00})},
		{name: "an unknown capsule", bidi: connect(), wait: true,
			more: frame(frameData, append(varints(0x29*1000+23, 3), "abc"...)), fin: true},
		{name: "a frame of HTTP/2 in a tunnel", bidi: connect(), wait: true,
			more: frame(framePriority, make([]byte, 5))},
	}
}

// commit does it on a connection of its own, and says what the relay made of it.
func commit(ctx context.Context, v violation) (string, error) {
	tlsConf, err := tlsConfig()
	if err != nil {
		return "", err
	}
	conn, err := quic.DialAddr(ctx, *relay, tlsConf, quicConfig())
	if err != nil {
		return "", err
	}
	defer conn.CloseWithError(0x100, "")
	control := v.settings
	if control == nil {
		control = goodSettings
	}
	for i, content := range append([][]byte{control}, v.uni...) {
		stream, err := conn.OpenUniStream()
		if err != nil {
			return "", err
		}
		stream.Write(content)
		if i == 0 && v.endsIt {
			stream.Close()
		}
	}
	if v.datagram != nil {
		if err := conn.SendDatagram(v.datagram); err != nil {
			return "", err
		}
	}
	if v.bidi == nil {
		return outcome(ctx, conn, nil), nil
	}
	stream, err := conn.OpenStream()
	if err != nil {
		return "", err
	}
	stream.Write(v.bidi)
	if v.wait {
		stream.SetReadDeadline(time.Now().Add(patience))
		if _, err := stream.Read(make([]byte, 1)); err != nil {
			return "no answer: " + codeOf(err), nil
		}
		stream.Write(v.more)
	}
	if v.fin {
		stream.Close()
	}
	return outcome(ctx, conn, stream), nil
}

// outcome waits for the connection or the stream to end; "goes on" when neither does.
func outcome(ctx context.Context, conn *quic.Conn, stream *quic.Stream) string {
	ended := make(chan string, 1)

	if stream != nil {
		go func() {
			_, err := io.Copy(io.Discard, stream)
			var streamError *quic.StreamError
			if err == nil {
				ended <- "stream end"
			} else if errors.As(err, &streamError) {
				ended <- codeOf(err)
			}
		}()
	}
	select {
	case <-conn.Context().Done():
		return codeOf(context.Cause(conn.Context()))
	case how := <-ended:
		// A connection error may be right behind.
		select {
		case <-conn.Context().Done():
			return codeOf(context.Cause(conn.Context()))
		case <-time.After(200 * time.Millisecond):
			return how
		}
	case <-time.After(time.Second):
		return "goes on"
	case <-ctx.Done():
		return "late"
	}
}

// wrong does all that is wrong, each by its name, and a good request again at the end.
func wrong() (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*patience)
	defer cancel()
	found := map[string]string{}

	tlsConf, err := tlsConfig()
	if err != nil {
		return nil, err
	}
	conn, err := quic.DialAddr(ctx, *relay, tlsConf, quicConfig())
	if err != nil {
		return nil, err
	}
	client := (&http3.Transport{EnableDatagrams: true}).NewClientConn(conn)
	<-client.ReceivedSettings()
	for _, r := range requests() {
		found[r.name] = ask(ctx, client, r)
	}
	conn.CloseWithError(0x100, "")
	for _, v := range violations() {
		if found[v.name], err = commit(ctx, v); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return found, nil
}
