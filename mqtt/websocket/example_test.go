package websocket_test

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/mosquitto-go/mosquitto/mqtt"
	"github.com/mosquitto-go/mosquitto/mqtt/websocket"
)

// A broker behind a gateway that wants a token in a header.
func ExampleDialer() {
	ctx := context.Background()
	header := http.Header{"Authorization": {"Bearer " + os.Getenv("TOKEN")}}
	dial := websocket.Dialer("wss://broker.example/mqtt?region=eu", websocket.Options{Header: header})
	client, err := mqtt.Dial(ctx, []string{"mqtt://broker.example:443"}, mqtt.WithDialer(dial))
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close(ctx)
}
