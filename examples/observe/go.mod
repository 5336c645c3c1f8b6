module github.com/mosquitto-go/mosquitto/examples/observe

go 1.24.0

require (
	github.com/mosquitto-go/mosquitto v0.1.0
	github.com/mosquitto-go/mosquitto/mqtt/otelmqtt v0.1.0
	github.com/mosquitto-go/mosquitto/mqtt/prommqtt v0.1.0
	github.com/prometheus/client_golang v1.23.2
	github.com/stretchr/testify v1.12.1
	go.opentelemetry.io/otel/exporters/stdout/stdouttrace v1.40.0
	go.opentelemetry.io/otel/sdk v1.40.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/prometheus/client_model v0.6.2 // indirect
	github.com/prometheus/common v0.66.1 // indirect
	github.com/prometheus/procfs v0.16.1 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel v1.40.0 // indirect
	go.opentelemetry.io/otel/metric v1.40.0 // indirect
	go.opentelemetry.io/otel/trace v1.40.0 // indirect
	go.yaml.in/yaml/v2 v2.4.2 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.40.0 // indirect
	google.golang.org/protobuf v1.36.8 // indirect
)

replace (
	github.com/mosquitto-go/mosquitto => ../..
	github.com/mosquitto-go/mosquitto/mqtt/otelmqtt => ../../mqtt/otelmqtt
	github.com/mosquitto-go/mosquitto/mqtt/prommqtt => ../../mqtt/prommqtt
)
