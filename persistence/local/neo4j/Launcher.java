import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.neo4j.configuration.GraphDatabaseSettings;
import org.neo4j.configuration.connectors.BoltConnector;
import org.neo4j.configuration.helpers.SocketAddress;
import org.neo4j.dbms.api.DatabaseManagementServiceBuilder;

/** Arguments: home, port, properties file, password file, file to make once Bolt listens. Ends on SIGTERM. */
public final class Launcher {
    public static void main(String[] args) throws Exception {
        Thread.currentThread().setUncaughtExceptionHandler((thread, error) -> { error.printStackTrace(); System.exit(1); });
        var server = new DatabaseManagementServiceBuilder(Path.of(args[0]))
                .loadPropertiesFromFile(Path.of(args[2]))
                .setConfig(GraphDatabaseSettings.auth_enabled, true)
                .setConfig(BoltConnector.enabled, true)
                .setConfig(BoltConnector.listen_address, new SocketAddress("127.0.0.1", Integer.parseInt(args[1])))
                .build();
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown));
        var password = Files.readString(Path.of(args[3])).strip();
        var known = Path.of(args[0], "password"); // the one that the server has; to ask it costs seconds
        if (!Files.exists(known) || !Files.readString(known).equals(password)) {
            server.database("system").executeTransactionally(
                    "CREATE OR REPLACE USER neo4j SET PASSWORD $password CHANGE NOT REQUIRED", Map.of("password", password));
            Files.writeString(known, password);
        }
        Files.writeString(Path.of(args[4]), "ready\n");
        Thread.currentThread().join();
    }
}
