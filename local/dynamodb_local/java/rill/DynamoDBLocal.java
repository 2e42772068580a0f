package rill;

import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBRequestHandler;
import software.amazon.dynamodb.services.local.server.LocalDynamoDBServerHandler;

/**
 * DynamoDB Local on a free port of 127.0.0.1. Its own main program listens on all addresses of the machine, wants
 * the port from its caller, does not say when it listens, and sets up telemetry, which is left out here.
 */
public final class DynamoDBLocal {
    private static final Logger SQLITE = Logger.getLogger("com.almworks.sqlite4java");
    private static final boolean SHARED = true; // one database, whatever the caller's region and access key
    private static final boolean DELAYS = false; // tables are there at once

    private static FileChannel lock; // open, and so held, until the end

    private DynamoDBLocal() {}

    /** Takes the directory of the data; without one they are in memory. Ends with its standard input. */
    public static void main(String[] arguments) throws Exception {
        SQLITE.setLevel(Level.WARNING);
        String directory = arguments.length > 0 ? arguments[0] : null;
        if (directory != null) {
            own(Path.of(directory));
        }
        LocalDynamoDBRequestHandler database =
                new LocalDynamoDBRequestHandler(0, directory == null, directory, SHARED, DELAYS);
        Server server = new Server(new InetSocketAddress("127.0.0.1", 0));
        // The empty list: no web page may use it.
        LocalDynamoDBServerHandler handler = new LocalDynamoDBServerHandler(database, "");
        server.setHandler(handler);
        server.start();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(server, handler)));
        int port = ((ServerConnector) server.getConnectors()[0]).getLocalPort();
        System.err.println("Running on http://127.0.0.1:" + port);
        System.in.transferTo(OutputStream.nullOutputStream());
        System.exit(0);
    }

    /** Two of them on the same files refuse each other's writes; the lock goes with the process. */
    private static void own(Path directory) throws IOException {
        lock = FileChannel.open(directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        if (lock.tryLock() == null) {
            System.err.println("another DynamoDB Local uses " + directory);
            System.exit(1);
        }
    }

    private static void stop(Server server, LocalDynamoDBServerHandler handler) {
        try {
            server.stop();
        } catch (Exception error) {
            System.err.println("Did not stop cleanly: " + error);
        }
        handler.close(); // ends the threads that write SQLite's files
    }
}
