#!/bin/sh
# As /etc/kafka/docker/run of Apache Kafka's own image: its program makes the broker's
# configuration of that in /mnt/shared/config and formats the data folder, and the
# broker follows.
set -e
export CLUSTER_ID="${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}"
java="/opt/java/openjdk/bin/java -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC ${KAFKA_HEAP_OPTS:--Xmx1G} -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true"
$java -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config
exec $java -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties
