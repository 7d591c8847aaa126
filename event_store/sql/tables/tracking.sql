-- How far a consumer has processed an application's events, moved in the append that stores what came of them.
create table log.tracking (
    consumer text not null,
    application text not null,
    position bigint not null,
    primary key (consumer, application)
);
